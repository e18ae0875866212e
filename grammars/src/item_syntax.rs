//! What grammars call the nodes that items are made of, one table for each group of languages.

/// How the grammar of a language names what items are made of.
#[derive(Debug)]
pub struct ItemSyntax {
    /// Nodes that are items.
    pub items: &'static [&'static str],
    /// Declarations that are items if they bind a function or a class.
    pub bindings: &'static [&'static str],
    /// Nodes that stand around an item and belong to it.
    pub wrappers: &'static [&'static str],
    /// Comments.
    pub comments: &'static [&'static str],
    /// Siblings before an item, comments aside, that belong to it.
    pub attributes: &'static [&'static str],
    /// Nodes whose children are statements or members.
    pub containers: &'static [&'static str],
}

pub(crate) const RUST: ItemSyntax = ItemSyntax {
    items: &[
        "function_item",
        "function_signature_item",
        "struct_item",
        "enum_item",
        "union_item",
        "trait_item",
        "impl_item",
        "mod_item",
        "macro_definition",
        "const_item",
        "static_item",
        "type_item",
    ],
    bindings: &[],
    wrappers: &[],
    comments: &["line_comment", "block_comment"],
    attributes: &["attribute_item"],
    containers: &["source_file", "block", "declaration_list", "match_block"],
};

pub(crate) const PYTHON: ItemSyntax = ItemSyntax {
    items: &["function_definition", "class_definition"],
    bindings: &[],
    wrappers: &["decorated_definition"],
    comments: &["comment"],
    attributes: &[],
    containers: &["module", "block"],
};

pub(crate) const SCRIPT: ItemSyntax = ItemSyntax {
    items: &[
        "function_declaration",
        "generator_function_declaration",
        "class_declaration",
        "abstract_class_declaration",
        "method_definition",
        "interface_declaration",
        "type_alias_declaration",
        "enum_declaration",
        "internal_module",
    ],
    bindings: &[
        "lexical_declaration",
        "variable_declaration",
        "field_definition",
        "public_field_definition",
    ],
    wrappers: &["export_statement"],
    comments: &["comment"],
    attributes: &["decorator"],
    containers: &["program", "statement_block", "class_body"],
};

pub(crate) const GO: ItemSyntax = ItemSyntax {
    items: &[
        "function_declaration",
        "method_declaration",
        "type_declaration",
    ],
    bindings: &[],
    wrappers: &[],
    comments: &["comment"],
    attributes: &[],
    containers: &["source_file", "block", "statement_list"],
};

pub(crate) const C: ItemSyntax = ItemSyntax {
    items: &[
        "function_definition",
        "type_definition",
        "struct_specifier",
        "union_specifier",
        "enum_specifier",
        "class_specifier",
        "namespace_definition",
        "concept_definition",
    ],
    bindings: &[],
    wrappers: &["template_declaration"],
    comments: &["comment"],
    attributes: &[],
    containers: &[
        "translation_unit",
        "compound_statement",
        "field_declaration_list",
        "declaration_list",
    ],
};

pub(crate) const JAVA: ItemSyntax = ItemSyntax {
    items: &[
        "method_declaration",
        "constructor_declaration",
        "class_declaration",
        "interface_declaration",
        "enum_declaration",
        "record_declaration",
        "annotation_type_declaration",
    ],
    bindings: &[],
    wrappers: &[],
    comments: &["line_comment", "block_comment"],
    attributes: &[],
    containers: &["program", "block", "class_body", "interface_body"],
};

pub(crate) const LUA: ItemSyntax = ItemSyntax {
    items: &["function_declaration"],
    bindings: &[],
    wrappers: &[],
    comments: &["comment"],
    attributes: &[],
    containers: &["chunk", "block"],
};

pub(crate) const ZIG: ItemSyntax = ItemSyntax {
    items: &["function_declaration"],
    bindings: &[],
    wrappers: &[],
    comments: &["comment"],
    attributes: &[],
    containers: &["source_file", "block"],
};

#[cfg(feature = "all-languages")]
pub(crate) const C_SHARP: ItemSyntax = ItemSyntax {
    items: &[
        "method_declaration",
        "constructor_declaration",
        "local_function_statement",
        "property_declaration",
        "class_declaration",
        "interface_declaration",
        "struct_declaration",
        "enum_declaration",
        "record_declaration",
        "namespace_declaration",
    ],
    bindings: &[],
    wrappers: &[],
    comments: &["comment"],
    attributes: &[],
    containers: &["compilation_unit", "block", "declaration_list"],
};

#[cfg(feature = "all-languages")]
pub(crate) const RUBY: ItemSyntax = ItemSyntax {
    items: &["method", "singleton_method", "class", "module"],
    bindings: &[],
    wrappers: &[],
    comments: &["comment"],
    attributes: &[],
    containers: &["program", "body_statement"],
};

#[cfg(feature = "all-languages")]
pub(crate) const PHP: ItemSyntax = ItemSyntax {
    items: &[
        "function_definition",
        "method_declaration",
        "class_declaration",
        "interface_declaration",
        "trait_declaration",
        "enum_declaration",
    ],
    bindings: &[],
    wrappers: &[],
    comments: &["comment"],
    attributes: &[],
    containers: &["program", "compound_statement", "declaration_list"],
};

#[cfg(feature = "all-languages")]
pub(crate) const KOTLIN: ItemSyntax = ItemSyntax {
    items: &[
        "function_declaration",
        "class_declaration",
        "object_declaration",
    ],
    bindings: &[],
    wrappers: &[],
    comments: &["line_comment", "block_comment"],
    attributes: &[],
    containers: &["source_file", "block", "class_body"],
};

#[cfg(feature = "all-languages")]
pub(crate) const SWIFT: ItemSyntax = ItemSyntax {
    items: &[
        "function_declaration",
        "init_declaration",
        "class_declaration",
        "protocol_declaration",
    ],
    bindings: &[],
    wrappers: &[],
    comments: &["comment", "multiline_comment"],
    attributes: &[],
    containers: &["source_file", "statements", "class_body"],
};

#[cfg(feature = "all-languages")]
pub(crate) const SCALA: ItemSyntax = ItemSyntax {
    items: &[
        "function_definition",
        "function_declaration",
        "class_definition",
        "object_definition",
        "trait_definition",
    ],
    bindings: &[],
    wrappers: &[],
    comments: &["comment", "block_comment"],
    attributes: &[],
    containers: &["compilation_unit", "block", "template_body"],
};
