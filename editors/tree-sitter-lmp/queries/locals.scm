; Where names hold.

[
  (module_declaration)
  (pipeline_declaration)
  (metric_declaration)
  (tool_declaration)
  (test_declaration)
  (block)
  (loop)
  (comprehension)
] @local.scope

(parameter name: (identifier) @local.definition)
(let_statement name: (identifier) @local.definition)
(loop state: (identifier) @local.definition)
(comprehension variable: (identifier) @local.definition)

(variable) @local.reference
(labels) @local.reference
