(function_declaration name: (identifier) @name) @function
(class_declaration name: (identifier) @name) @type
(object_declaration name: (identifier) @name) @type
