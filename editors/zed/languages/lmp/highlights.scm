; Made by `make grammars` of tree-sitter-lmp/queries/highlights.scm.

(variable) @variable

((variable) @constant
  (#match? @constant "^[A-Z][A-Z0-9_]+$"))

(call_expression
  function: (variable) @function.call)

((call_expression
  function: (variable) @constructor)
  (#match? @constructor "^[A-Z]"))

((call_expression
  function: (variable) @function.builtin)
  (#any-of? @function.builtin
    "abs" "all" "any" "assistant" "audio" "certainty" "code" "count" "date" "datetime" "decimal"
    "enumerate" "filter" "find" "first" "flatten" "float" "group_by" "image" "int" "join" "keys" "len"
    "logprob" "lower" "matches" "max" "min" "pdf" "range" "replace" "round" "sort_by" "split" "str"
    "strip" "sum" "system" "time" "turns" "unique" "upper" "user" "values" "zip"))

(module_declaration name: (identifier) @function)
(pipeline_declaration name: (identifier) @function)
(metric_declaration name: (identifier) @function)
(tool_declaration name: (identifier) @function)
(example_declaration name: (identifier) @function)
(optimize_declaration name: (identifier) @function)
(stub_statement name: (identifier) @function)
(import_item (identifier) @function)

((import_item (identifier) @type)
  (#match? @type "^[A-Z]"))

((import_item (identifier) @constant)
  (#match? @constant "^[A-Z][A-Z0-9_]+$"))

(record_declaration name: (identifier) @type)
(enum_declaration name: (identifier) @type)
(type_declaration name: (identifier) @type)
(named_type name: (identifier) @type)

((named_type name: (identifier) @type.builtin)
  (#any-of? @type.builtin
    "str" "int" "float" "bool" "json" "list" "dict" "date" "time" "datetime" "decimal" "one_of" "image"
    "audio" "pdf" "media" "messages" "Verdict" "Score" "Message"))

(constant_declaration name: (identifier) @constant)
(model_declaration name: (identifier) @namespace)
(dataset_declaration name: (identifier) @namespace)
(store_declaration name: (identifier) @namespace)
(keep_statement store: (identifier) @namespace)

(variant name: (identifier) @variant)
(name_pattern (identifier) @variant)

(parameter name: (identifier) @variable.parameter)
(named_argument name: (identifier) @variable.parameter)
(labels) @variable.parameter
(let_statement name: (identifier) @variable)
(loop state: (identifier) @variable)
(comprehension variable: (identifier) @variable)

(field name: (identifier) @property)
(depth key: (identifier) @property)
(setting key: (identifier) @property)
(pair key: (identifier) @property)
(attribute_expression name: (identifier) @property)
(selector name: (identifier) @property)


["generate" "critique" "refine" "vote" "search" "agent" "route" "pipeline" "metric" "tool"] @keyword.function
["record" "enum" "type"] @keyword.type
["model" "default" "example" "dataset" "store" "optimize" "test" "let" "keep" "stub" "assert"] @keyword
["from" "import" "as"] @keyword.import
["if" "then" "else" "match"] @keyword.conditional
["for" "loop" "until"] @keyword.repeat
["return" "yield"] @keyword.return
["with" "tune" "tokens"] @keyword
["train" "frozen" "unique"] @keyword.modifier
["and" "or" "not" "in"] @keyword.operator


(number) @number
[(true) (false)] @boolean
(none) @constant.builtin
(wildcard) @variable.special

[(string) (raw_string) (long_string)] @string
(docstring) @string.doc
(regex) @string.regex
(interpolated_string (string_content) @string)
(interpolated_string ["\"" "f\"" "\"\"\"" "f\"\"\""] @string)
(escape_sequence) @string.escape
(doubled_brace) @string.escape


["+" "-" "*" "/" "%" "==" "!=" "<" "<=" ">" ">=" "??" "=" "->" "=>" "|" "?" ".."] @operator
["," ":" "." "?."] @punctuation.delimiter
["(" ")" "[" "]" "{" "}"] @punctuation.bracket
(interpolation ["{" "}"] @punctuation.special)

(comment) @comment
