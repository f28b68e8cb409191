; What a file declares and what it refers to, for code navigation.

(record_declaration name: (identifier) @name) @definition.struct
(enum_declaration name: (identifier) @name) @definition.enum
(type_declaration name: (identifier) @name) @definition.type
(constant_declaration name: (identifier) @name) @definition.constant
(module_declaration name: (identifier) @name) @definition.function
(pipeline_declaration name: (identifier) @name) @definition.function
(metric_declaration name: (identifier) @name) @definition.function
(tool_declaration name: (identifier) @name) @definition.interface
(model_declaration name: (identifier) @name) @definition.module
(dataset_declaration name: (identifier) @name) @definition.module
(store_declaration name: (identifier) @name) @definition.module
(test_declaration name: (_ (string_content) @name)) @definition.test

(call_expression function: (variable) @name) @reference.call
(named_type name: (identifier) @name) @reference.type
