//! Names of functions as clients write them. Pure.

use spool_protocol::{Code, Error, Result};

use super::{FUNCTIONS, Function, Visibility};

/// Longest part of an unknown path that an error repeats.
const SHOWN: usize = 100;

/// The one form of a path: `dir/mod.js:fn` is `dir/mod:fn`, `mod` is `mod:default` (Convex, "Function
/// names").
pub fn normalise(path: &str) -> String {
    let (module, name) = path.split_once(':').unwrap_or((path, "default"));
    format!("{}:{name}", module.strip_suffix(".js").unwrap_or(module))
}

pub(super) fn lookup(path: &str, visible: impl Fn(&Function) -> bool) -> Result<&'static Function> {
    let wanted = normalise(path);
    let found = FUNCTIONS.iter().find(|function| function.path == wanted && visible(function));
    found.ok_or_else(|| not_found(path))
}

/// The answer for a function that does not exist, or not for this caller.
pub(super) fn not_found(path: &str) -> Error {
    let shown: String = path.chars().take(SHOWN).collect();
    let nearest = nearest(&shown);
    let message = format!("Could not find public function for '{shown}'. Did you mean '{nearest}'?");
    Error::new(Code::FunctionNotFound, message).with("nearest", nearest)
}

/// The public path that is most like `path`. A dot is what people write for the colon.
fn nearest(path: &str) -> &'static str {
    let colon = match path.rsplit_once('.') {
        Some((module, name)) if !path.contains(':') => format!("{module}:{name}"),
        _ => path.to_owned(),
    };
    let public = FUNCTIONS.iter().filter(|function| function.visibility == Visibility::Public);
    let likeness = |function: &&Function| strsim::jaro_winkler(&colon, function.path);
    let best = public.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    best.map_or("", |function| function.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::find;

    #[test]
    fn ty_02_paths_have_one_form() {
        assert_eq!(normalise("ai/threads.js:get"), "ai/threads:get");
        assert_eq!(normalise("threads:get"), "threads:get");
        assert_eq!(normalise("threads"), "threads:default");
        assert_eq!(find("threads.js:get").unwrap().path, "threads:get");
    }

    #[test]
    fn ty_02_an_unknown_function_names_the_nearest() {
        let error = find("threads.create").unwrap_err();
        assert_eq!(error.code, Code::FunctionNotFound);
        assert_eq!(
            error.message,
            "Could not find public function for 'threads.create'. Did you mean 'threads:create'?"
        );
        assert_eq!(error.data.unwrap()["nearest"], "threads:create");
        assert_eq!(find("generations:delta").unwrap_err().data.unwrap()["nearest"], "generations:deltas");
    }
}
