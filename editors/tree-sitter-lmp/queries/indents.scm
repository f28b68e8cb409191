; Indents of nvim-treesitter.

[
  (record_body)
  (enum_body)
  (tool_body)
  (module_body)
  (settings)
  (block)
  (match_body)
  (object)
  (list)
  (comprehension)
  (samples)
  (parameters)
  (arguments)
  (tune_expression)
  (type_arguments)
  (refinements)
  (parenthesized_expression)
] @indent.begin

["}" "]" ")"] @indent.branch @indent.end

[(long_string) (docstring) (comment)] @indent.auto
