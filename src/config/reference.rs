//! Generates the tables of the keys in the documentation from the same tables as validation.

use std::{collections::BTreeSet, fmt::Write};

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

/// All pages with tables, in `docs`.
pub fn pages() -> BTreeSet<&'static str> {
    tables::ALL.iter().map(|table| table.page).collect()
}

/// The tables of a page.
pub fn tables_of(page: &str) -> impl Iterator<Item = &'static Table> {
    tables::ALL.into_iter().filter(move |table| table.page == page)
}

/// Returns the text of a page with the content between each pair of markers replaced by the generated table.
///
/// # Errors
/// Returns the name of a table whose markers are missing.
pub fn filled(page: &str, text: &str) -> Result<String, &'static str> {
    let mut filled = text.to_owned();
    for table in tables_of(page) {
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
        let _ = writeln!(text, "| {key} | {} | {} |", value(&field.shape, table.page), field.description);
    }
    text
}

fn value(shape: &Shape, page: &str) -> String {
    match shape {
        Shape::Integer(least, most) if least == most => format!("`{least}`"),
        Shape::Table(table) => format!("[{}]({})", table.article, anchor(table, page)),
        Shape::TextOr(format, table) => format!("{}, or {}", format.expected(), value(&Shape::Table(table), page)),
        Shape::Named(_, each, _) => format!("a map from names to {}", value(each, page)),
        Shape::List(each) | Shape::ListOrEmpty(each) => format!("a list of {}", value(each, page)),
        _ => shape.expected(),
    }
}

/// The link to a table from a page.
fn anchor(table: &Table, page: &str) -> String {
    let other = if table.page == page { "" } else { table.page };
    format!("{other}#{}", table.name)
}
