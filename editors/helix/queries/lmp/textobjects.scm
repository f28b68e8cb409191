(module_declaration body: (_)? @function.inside) @function.around
(pipeline_declaration body: (_) @function.inside) @function.around
(metric_declaration body: (_)? @function.inside) @function.around
(tool_declaration body: (_)? @function.inside) @function.around

(record_declaration body: (_) @class.inside) @class.around
(enum_declaration body: (_) @class.inside) @class.around

(test_declaration body: (_) @test.inside) @test.around

(parameters ((_) @parameter.inside . ","? @parameter.around) @parameter.around)
(arguments ((_) @parameter.inside . ","? @parameter.around) @parameter.around)

(pair value: (_) @entry.inside) @entry.around
(setting value: (_) @entry.inside) @entry.around
(field type: (_) @entry.inside) @entry.around

(comment) @comment.inside
(comment)+ @comment.around
