(record_declaration "record" @context name: (identifier) @name) @item
(enum_declaration "enum" @context name: (identifier) @name) @item
(type_declaration "type" @context name: (identifier) @name) @item
(constant_declaration "let" @context name: (identifier) @name) @item
(model_declaration "model" @context name: (identifier) @name) @item
(default_declaration "default" @name) @item
(tool_declaration "tool" @context name: (identifier) @name) @item
(module_declaration kind: _ @context name: (identifier) @name) @item
(pipeline_declaration "pipeline" @context name: (identifier) @name) @item
(metric_declaration "metric" @context name: (identifier) @name) @item
(example_declaration "example" @context name: (identifier) @name) @item
(dataset_declaration "dataset" @context name: (identifier) @name) @item
(store_declaration "store" @context name: (identifier) @name) @item
(optimize_declaration "optimize" @context name: (identifier) @name) @item
(test_declaration "test" @context name: (_) @name) @item

(field name: (identifier) @name) @item
(variant name: (identifier) @name) @item
