" Colours of .lmp, made by `make grammars` of the language's own tokens.
if exists("b:current_syntax")
  finish
endif

syntax match lmpNumber "\<\d[0-9_]*\%(\.\d[0-9_]*\)\?\%([eE][+-]\?\d\+\)\?\>"
syntax match lmpUnit "\%(\d[ \t]\+\)\@<=tokens\>"
syntax match lmpOperator "->\|=>\|??\|?\.\|\.\.\|[-+*/%<>=!]=\?\|[|?]"
syntax match lmpFunction "\<\a\w*\ze("
syntax match lmpBuiltin "\<\%(abs\|all\|any\|assistant\|audio\|certainty\|code\|count\|date\|datetime\|decimal\|enumerate\|filter\|find\|first\|flatten\|float\|group_by\|image\|int\|join\|keys\|len\|logprob\|lower\|matches\|max\|min\|pdf\|range\|replace\|round\|sort_by\|split\|str\|strip\|sum\|system\|time\|turns\|unique\|upper\|user\|values\|zip\)\ze("
syntax match lmpType "\<\%(str\|int\|float\|bool\|json\|list\|dict\|date\|time\|datetime\|decimal\|one_of\|image\|audio\|pdf\|media\|messages\|Verdict\|Score\|Message\)\>"
syntax match lmpKeyword "\<\%(as\|assert\|else\|for\|if\|import\|keep\|loop\|match\|return\|stub\|then\|train\|tune\|until\|with\|yield\)\>"
syntax match lmpKeyword "\<frozen\ze[ \t]*r\?\""
syntax match lmpKeyword "\<unique\ze\_s*[,)]"
syntax match lmpDeclaration "\<\%(agent\|critique\|dataset\|default\|enum\|example\|from\|generate\|let\|metric\|model\|optimize\|pipeline\|record\|refine\|route\|search\|store\|test\|tool\|type\|vote\)\>\ze[ \t]\+[A-Za-z\"{]" nextgroup=lmpName skipwhite
syntax match lmpName "\<\a\w*\>" contained
syntax match lmpConstant "\<\%(true\|false\|none\)\>"
syntax match lmpWordOperator "\<\%(and\|or\|not\|in\)\>"
syntax match lmpMember "\%(?\?\.\)\@<=\a\w*\>"
syntax match lmpKey "\<\a\w*\ze[ \t]*:"
syntax match lmpArgument "\%([(,]\_s*\)\@<=\a\w*\ze[ \t]*=[=>]\@!"
syntax match lmpComment "#.*$" contains=@Spell

syntax match lmpEscape "\\\%(u{\x\{1,6}}\|u\x\{4}\|.\)" contained
syntax match lmpBrace "{{\|}}" contained
syntax region lmpJinja start="{{" end="}}" contained oneline
syntax region lmpJinja start="{%" end="%}" contained oneline
syntax region lmpJinja start="{#" end="#}" contained
syntax region lmpString start=+"+ skip=+\\.+ end=+"\|$+ contains=lmpEscape,lmpJinja,@Spell
syntax cluster lmpInside contains=lmpValue,lmpBrace
syntax region lmpPattern start=+\<r"+ skip=+\\.+ end=+"\|$+
syntax region lmpText start=+\"\"\"+ end=+\"\"\"+ contains=lmpJinja,@Spell
syntax region lmpInterpolated start=+\<f"+ skip=+\\.+ end=+"\|$+ contains=lmpEscape,@lmpInside
syntax region lmpInterpolated start=+\<f\"\"\"+ end=+\"\"\"+ contains=@lmpInside
syntax region lmpValue matchgroup=lmpDelimiter start="{{\@!" end="}\|$" contained contains=TOP
syntax region lmpBraces start="{" end="}" transparent contains=TOP
syntax sync fromstart

highlight default link lmpNumber Number
highlight default link lmpUnit Keyword
highlight default link lmpOperator Operator
highlight default link lmpFunction Function
highlight default link lmpBuiltin Function
highlight default link lmpType Type
highlight default link lmpKeyword Keyword
highlight default link lmpDeclaration Structure
highlight default link lmpName Identifier
highlight default link lmpConstant Constant
highlight default link lmpWordOperator Operator
highlight default link lmpMember Identifier
highlight default link lmpKey Identifier
highlight default link lmpArgument Identifier
highlight default link lmpComment Comment
highlight default link lmpEscape SpecialChar
highlight default link lmpBrace SpecialChar
highlight default link lmpJinja PreProc
highlight default link lmpString String
highlight default link lmpPattern String
highlight default link lmpText String
highlight default link lmpInterpolated String
highlight default link lmpDelimiter Delimiter

let b:current_syntax = "lmp"
