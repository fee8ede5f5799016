//! Rows under heads, in columns, on a terminal.

use crate::model::OneLine;

pub struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    #[must_use]
    pub fn new(heads: [&str; N]) -> Self {
        Self {
            rows: vec![heads.map(str::to_owned)],
        }
    }

    /// Cells may be anybody's text: nothing of them drives the terminal.
    pub fn push(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| OneLine(&cell).to_string()));
    }

    /// Each line begins with `indent`. Heads without rows are nothing.
    #[must_use]
    pub fn text(&self, indent: &str) -> String {
        if self.rows.len() == 1 {
            return String::new();
        }
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            text.push_str(indent);
            text.push_str(line.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_cells_stay_on_their_line() {
        let mut table = Table::new(["MERCHANT", "WHY"]);
        assert_eq!(table.text("  "), "");
        table.push(["acme".to_owned(), "a\nb\u{1b}[31m".to_owned()]);
        table.push(["long merchant".to_owned(), "\u{202e}x".to_owned()]);
        assert_eq!(
            table.text("  "),
            "  MERCHANT       WHY\n  acme           a\\nb\\u{1b}[31m\n  long merchant  \\u{202e}x\n"
        );
    }
}
