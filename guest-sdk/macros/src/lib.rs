//! The entry macro of `nodule-sdk`; use it as `#[nodule_sdk::main]`.

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// Runs `main` on the event loop, which goes on until nothing is left that could happen.
///
/// `main` takes no arguments, may be `async`, and returns `()` or `Result<(), E>` where `E: Into<nodule_sdk::Error>`; an
/// error it returns is uncaught.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let Kind { is_async, mistake } = inspect(&arguments, item.clone());
    if let Some(mistake) = mistake {
        return format!("::core::compile_error!({mistake:?});")
            .parse()
            .unwrap_or_default();
    }
    // The function keeps its name, attributes and spans as an item within the real `main`.
    let call = if is_async {
        "::nodule_sdk::run(main());"
    } else {
        "::nodule_sdk::run(async { main() });"
    };
    let mut body = item;
    body.extend(call.parse::<TokenStream>().unwrap_or_default());
    let mut output: TokenStream = "fn main()".parse().unwrap_or_default();
    output.extend([TokenTree::from(proc_macro::Group::new(Delimiter::Brace, body))]);
    output
}

struct Kind {
    is_async: bool,
    mistake: Option<&'static str>,
}

/// Looks at the tokens up to the parameter list.
fn inspect(arguments: &TokenStream, item: TokenStream) -> Kind {
    let mut kind = Kind {
        is_async: false,
        mistake: None,
    };
    if !arguments.is_empty() {
        kind.mistake = Some("#[nodule_sdk::main] takes no arguments");
        return kind;
    }
    let mut tokens = item.into_iter();
    let is_function = tokens.by_ref().any(|token| {
        let is_word = |word: &str| matches!(&token, TokenTree::Ident(ident) if ident.to_string() == word);
        kind.is_async |= is_word("async");
        is_word("fn")
    });
    let name = tokens.next().map(|token| token.to_string());
    let parameters = tokens.next();
    if !is_function || name.as_deref() != Some("main") {
        kind.mistake = Some("#[nodule_sdk::main] belongs on `fn main` or `async fn main`");
    } else if !matches!(&parameters, Some(TokenTree::Group(group)) if group.stream().is_empty()) {
        kind.mistake = Some("`main` takes neither parameters nor generics; arguments are in `process::argv()`");
    }
    kind
}
