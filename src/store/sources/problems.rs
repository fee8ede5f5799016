//! Why changes of a table make no events, and the command that mends it.

use super::Listed;
use crate::model::source::{OnFailure, word};

impl Listed {
    /// A sentence each; none: every change that is to make an event does, or fails. Rows of
    /// `posthorn.source_failures` are told beside these.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let detach = format!("`posthorn source detach {}`", word(&self.source.name));
        if let Some(namesake) = &self.namesake {
            return vec![format!(
                "{namesake} is another table than the one that was attached, and its changes make no events; run {detach}, \
                 then `{}`",
                self.source.command(namesake)
            )];
        }
        let Some(table) = &self.table else {
            return vec![format!("its table was dropped; run {detach}")];
        };
        let command = self.source.command(table);
        let fate = match self.source.on_failure {
            OnFailure::Block => "fail",
            OnFailure::Record => "make no events",
        };
        let missing = self.missing_columns.iter().map(|columns| {
            format!(
                "{table} has no column {columns} any more: its changes {fate}; attach it again with columns that it has: \
                 `{command}`"
            )
        });
        let silent = self.silent.iter().map(|silent| {
            format!(
                "{silent} lacks a trigger, or it is switched off: statements that name it make no events; run `{command}`"
            )
        });
        missing.chain(silent).collect()
    }
}
