(function_declaration name: (identifier) @name) @function
(source_file (variable_declaration (identifier) @name) @value)
