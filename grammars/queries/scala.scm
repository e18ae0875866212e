(function_definition name: (identifier) @name) @function
(function_declaration name: (identifier) @name) @function
(class_definition name: (identifier) @name) @type
(object_definition name: (identifier) @name) @type
(trait_definition name: (identifier) @name) @type
