//! Shows the table: redrawn in place on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::table::{self, Line};

pub struct Screen {
    in_place: bool,
    /// How many lines the last picture has, which the next one covers.
    drawn: usize,
}

impl Screen {
    #[must_use]
    pub fn new() -> Self {
        Self {
            in_place: io::stdout().is_terminal(),
            drawn: 0,
        }
    }

    /// How often to show something new.
    #[must_use]
    pub const fn pace(&self) -> Duration {
        Duration::from_millis(if self.in_place { 300 } else { 2000 })
    }

    pub fn show(&mut self, lines: &[Line], at: Duration) -> io::Result<()> {
        if self.in_place {
            self.draw(lines)
        } else {
            write(&format!("{}\n", table::render_sums(lines, at)))
        }
    }

    /// Draws the last table, which stays.
    pub fn finish(&mut self, lines: &[Line]) -> io::Result<()> {
        self.draw(lines)?;
        self.drawn = 0;
        Ok(())
    }

    fn draw(&mut self, lines: &[Line]) -> io::Result<()> {
        let table = table::render(lines);
        let text = if self.in_place {
            picture(&table, self.drawn)
        } else {
            table.join("\n") + "\n"
        };
        self.drawn = table.len();
        write(&text)
    }
}

/// Prints text that stays.
pub fn say(text: &str) -> io::Result<()> {
    write(&format!("{text}\n"))
}

/// Makes the text that draws a table over the last one (ECMA-48): up over the last picture, then
/// each line and what clears its rest. A line wider than the terminal is cut off and not wrapped,
/// or the count of lines would be wrong; that is switched back in the same write.
fn picture(table: &[String], drawn: usize) -> String {
    let up = if drawn > 0 {
        format!("\x1b[{drawn}A")
    } else {
        String::new()
    };
    let lines = table.join("\x1b[K\n\r");
    format!("\x1b[?7l{up}\r{lines}\x1b[K\n\x1b[?7h")
}

/// Writes to the terminal. A stdout that is closed is an error, and ends the demo: nobody looks any
/// more.
fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::picture;

    #[test]
    fn a_picture_covers_the_one_before_it() {
        let table = ["a".to_owned(), "b".to_owned()];
        assert_eq!(picture(&table, 0), "\x1b[?7l\ra\x1b[K\n\rb\x1b[K\n\x1b[?7h");
        assert!(picture(&table, 2).starts_with("\x1b[?7l\x1b[2A\ra"));
    }
}
