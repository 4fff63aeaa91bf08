//! Tables of text: a heading, a row of names, rows of cells.

/// One table.
#[derive(Default)]
pub struct Table {
    /// Its heading.
    pub title: String,
    /// The columns' names; the first column is left-aligned, the others right.
    pub header: Vec<String>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
    /// Lines below it.
    pub notes: Vec<String>,
}

impl Table {
    /// An empty table.
    pub fn new(title: &str, header: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            header: header.iter().map(|&name| name.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The table as lines.
    pub fn to_text(&self) -> String {
        let all = || std::iter::once(&self.header).chain(&self.rows);
        let columns = all().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|at| {
                let cells = all().filter_map(|row| row.get(at));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = format!("\n{}\n", self.title);
        for row in all() {
            let mut line = String::new();
            for (at, width) in widths.iter().enumerate() {
                let cell = row.get(at).map_or("", String::as_str);
                let padding = " ".repeat(width - cell.chars().count());
                let cell = match at {
                    0 => format!("  {cell}{padding}"),
                    _ => format!("   {padding}{cell}"),
                };
                line.push_str(&cell);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        for note in &self.notes {
            text.push_str(&format!("  {note}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new("speeds", &["who", "MB/s"]);
        table.rows = vec![
            vec!["ours".to_owned(), "19.5".to_owned()],
            vec!["somebody else".to_owned(), "8".to_owned()],
            vec!["nobody".to_owned()],
        ];
        table.notes.push("measured".to_owned());
        assert_eq!(
            table.to_text(),
            "\nspeeds\n  who             MB/s\n  ours            19.5\n  somebody else      8\n  nobody\n  measured\n"
        );
    }
}
