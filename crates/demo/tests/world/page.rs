//! The commands and files of a page of docs/.

/// A page of the documentation.
pub(crate) struct Page {
    /// From the root of the project.
    pub(crate) name: &'static str,
    /// All of it.
    pub(crate) text: &'static str,
}

impl Page {
    /// Returns the block of commands with the mark `<!-- ci:MARK -->`.
    pub(crate) fn commands(&self, mark: &str) -> String {
        let line = format!("<!-- ci:{mark} -->");
        let lines = self.text.lines().skip_while(|text| *text != line);
        let block = block(lines.skip_while(|line| !line.starts_with("```")).skip(1));
        assert!(!block.is_empty(), "{} has no commands {line}", self.name);
        block
    }

    /// Returns the block whose first line is `# NAME`: a file.
    pub(crate) fn file(&self, name: &str) -> String {
        let mut lines = self.text.lines();
        while lines.by_ref().any(|line| line.starts_with("```")) {
            let block = block(lines.by_ref());
            if block.lines().next() == Some(&format!("# {name}")) {
                return block;
            }
        }
        panic!("{} has no file {name}", self.name);
    }
}

/// Lines until the end of a block.
fn block<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.take_while(|line| !line.starts_with("```")).map(|line| format!("{line}\n")).collect()
}
