(method name: (_) @name) @function
(singleton_method name: (_) @name) @function
(class name: (constant) @name) @type
(module name: (constant) @name) @type
