//! Questions on a terminal whose answers are texts.

use console::Term;
use dialoguer::{Input, Select};

/// Asks for a text until it passes `check`. `None` if the user interrupts.
pub fn ask_text(question: &str, default: Option<&str>, check: &dyn Fn(&str) -> Result<(), String>) -> Option<String> {
    let input = Input::<String>::new().with_prompt(question).validate_with(|text: &String| check(text));
    let input = match default {
        Some(default) => input.default(default.to_owned()),
        None => input,
    };
    answered(input.interact_text_on(&Term::stderr()).ok())
}

/// Lets the user choose one of `choices`, which have a name and a description. `None` if the user interrupts.
pub fn ask_choice(question: &str, choices: &[(String, String)], default: Option<&str>) -> Option<String> {
    let width = choices.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let lines = choices.iter().map(|(name, about)| format!("{name:width$}  {about}").trim_end().to_owned());
    let first = choices.iter().position(|(name, _)| Some(name.as_str()) == default).unwrap_or_default();
    let select = Select::new().with_prompt(question).items(lines).default(first);
    answered(select.interact_on_opt(&Term::stderr()).ok().flatten()).map(|index| choices[index].0.clone())
}

/// The cursor, which a question hides, is visible again also after an interrupt.
fn answered<T>(answer: Option<T>) -> Option<T> {
    let _ = Term::stderr().show_cursor();
    answer
}
