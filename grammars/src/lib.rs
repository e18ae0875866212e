//! Languages as data: syntax trees, scopes, outlines and safe places to cut text.
