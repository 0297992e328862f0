//! Generates the tables of `docs/projects-yaml.md` from the same tables as validation.

use std::fmt::Write;

use super::{
    fields::{Shape, Table},
    tables,
};

/// The marker at the start of a table in the documentation.
pub fn marker(table: &Table) -> String {
    format!("<!-- keys: {} -->\n", table.name)
}

/// The marker at the end of a table.
pub const END: &str = "<!-- end of keys -->";

/// Returns `text` with the content between each pair of markers replaced by the generated table.
///
/// # Errors
/// Returns the name of a table whose markers are missing.
pub fn filled(text: &str) -> Result<String, &'static str> {
    let mut filled = text.to_owned();
    for table in tables::ALL {
        let marker = marker(table);
        let start = filled.find(&marker).ok_or(table.name)? + marker.len();
        let end = start + filled[start..].find(END).ok_or(table.name)?;
        filled.replace_range(start..end, &markdown(table));
    }
    Ok(filled)
}

/// Returns the keys of a table as Markdown, one per row.
pub fn markdown(table: &Table) -> String {
    let mut text = "| key | value | meaning |\n|---|---|---|\n".to_owned();
    for field in table.fields {
        let key = if field.required { format!("`{}` (required)", field.key) } else { format!("`{}`", field.key) };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {key} | {} | {} |", value(&field.shape), field.description);
    }
    text
}

fn value(shape: &Shape) -> String {
    match shape {
        Shape::Integer(least, most) if least == most => format!("`{least}`"),
        Shape::Table(table) => format!("[{}]({})", table.article, anchor(table)),
        Shape::Named(_, each, _) => format!("a map from names to {}", value(each)),
        Shape::List(each) | Shape::ListOrEmpty(each) => format!("a list of {}", value(each)),
        _ => shape.expected(),
    }
}

fn anchor(table: &Table) -> String {
    format!("#{}", table.name)
}
