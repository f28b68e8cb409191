autocmd BufNewFile,BufRead *.lmp setfiletype lmp
