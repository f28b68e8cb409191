; Where names hold, and what they are.

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

(parameter name: (identifier) @local.definition.variable.parameter)
(let_statement name: (identifier) @local.definition.variable)
(loop state: (identifier) @local.definition.variable)
(comprehension variable: (identifier) @local.definition.variable)

(variable) @local.reference
(labels) @local.reference
