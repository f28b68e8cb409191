(module_declaration body: (_)? @function.inside) @function.around
(pipeline_declaration body: (_) @function.inside) @function.around
(metric_declaration body: (_)? @function.inside) @function.around
(tool_declaration body: (_)? @function.inside) @function.around

(record_declaration body: (_) @class.inside) @class.around
(enum_declaration body: (_) @class.inside) @class.around

(comment)+ @comment.around
