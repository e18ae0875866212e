(function_declaration name: (simple_identifier) @name) @function
(protocol_function_declaration name: (simple_identifier) @name) @function
(class_declaration name: (type_identifier) @name) @type
(protocol_declaration name: (type_identifier) @name) @type
