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
] @indent

["}" "]" ")"] @outdent
