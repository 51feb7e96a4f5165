//! Side modules in C and Rust: `process_dlopen <directory with the built guests/side> [late]`.
//! With `late` it ends in a call of a function that nobody has.

use std::ffi::{CStr, c_char};
use std::mem::transmute;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use nodule_sdk::process::dlopen;
use nodule_sdk::process::dylib::{Flags, Library, Symbol};
use nodule_sdk::{Error, Result, process};

/// Data that side modules use.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the name that C uses")]
pub static main_total: AtomicI32 = AtomicI32::new(1);

/// A function that side modules call.
///
/// # Safety
/// `text` ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main_note(text: *const c_char) -> i32 {
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    println!("note {}", text.to_string_lossy());
    0
}

extern "C" fn plus_one(value: i32) -> i32 {
    value + 1
}

type Unary = extern "C" fn(i32) -> i32;

/// The table index of a function; 0, which no function has, for data.
fn function(library: &Library, name: &str) -> Result<usize> {
    Ok(match library.symbol(name)? {
        Symbol::Function(function) => function.index(),
        Symbol::Data(_) => 0,
    })
}

/// The address of data; 0 for a function.
fn data(library: &Library, name: &str) -> Result<usize> {
    Ok(match library.symbol(name)? {
        Symbol::Function(_) => 0,
        Symbol::Data(address) => address,
    })
}

fn show(what: &str, result: Result<Library>) {
    match result {
        Ok(_) => println!("{what}: loaded"),
        Err(error) => println!(
            "{what}: {} {}",
            error.code().unwrap_or("-"),
            error.message().lines().next().unwrap_or_default()
        ),
    }
}

fn in_c(directory: &str) -> Result<Library> {
    let shapes = dlopen(&format!("{directory}/shapes.wasm"), Flags::LAZY)?;
    // SAFETY: the types are those of guests/side/shapes.c.
    let (measure, sum, deep, note_address) = unsafe {
        (
            transmute::<usize, extern "C" fn(i32) -> Unary>(function(&shapes, "shapes_measure")?),
            transmute::<usize, extern "C" fn(Unary, i32) -> i32>(function(&shapes, "shapes_sum")?),
            transmute::<usize, Unary>(function(&shapes, "shapes_deep")?),
            transmute::<usize, Unary>(function(&shapes, "shapes_note_address")?),
        )
    };
    println!("measures {} {} {}", measure(0)(5), measure(1)(5), measure(2)(5));
    println!("sum {} total {}", sum(plus_one, 4), main_total.load(Ordering::Relaxed));
    println!("deep {}", deep(100));
    println!(
        "same address {}",
        note_address(0) as usize == main_note as *const () as usize
    );
    // SAFETY: an int of the side module, which nobody else holds.
    println!("created {}", unsafe {
        *(data(&shapes, "shapes_created")? as *const i32)
    });
    // What it needs is found through it, and by its own name: the same.
    let numbers = dlopen(&format!("{directory}/numbers.wasm"), Flags::NOW)?;
    println!(
        "scale shared {}",
        data(&shapes, "numbers_scale")? == data(&numbers, "numbers_scale")?
    );
    Ok(shapes)
}

fn in_rust(directory: &str) -> Result<()> {
    let library = dlopen(&format!("{directory}/tally.wasm"), Flags::NOW)?;
    // SAFETY: the types are those of guests/side/tally.rs.
    let (step, tally, total) = unsafe {
        (
            transmute::<usize, extern "C" fn(usize) -> Option<Unary>>(function(&library, "tally_step")?),
            transmute::<usize, extern "C" fn(Unary, i32) -> i32>(function(&library, "tally")?),
            &*(data(&library, "tally_total")? as *const AtomicU32),
        )
    };
    for index in 0..3 {
        match step(index) {
            Some(step) => println!("step {index}: {} {}", step(7), tally(step, 4)),
            None => println!("step {index}: none"),
        }
    }
    // The allocator must leave the pages of side modules alone, wherever they are in the memory.
    let blocks: Vec<Vec<u8>> = (0..100).map(|_| vec![0xff; 100_000]).collect();
    let intact = blocks.iter().all(|block| block.iter().all(|byte| *byte == 0xff));
    println!("total {} intact {intact}", total.load(Ordering::Relaxed));
    Ok(())
}

#[nodule_sdk::main]
fn main() -> Result<()> {
    let arguments = process::argv();
    let directory = arguments.get(2).map_or(".", String::as_str);
    let late = arguments.get(3).is_some_and(|argument| argument == "late");
    let shapes = in_c(directory)?;
    in_rust(directory)?;

    show("missing file", dlopen(&format!("{directory}/missing.wasm"), Flags::NOW));
    show("no side module", dlopen(&arguments[1], Flags::NOW));
    let absent = shapes.symbol("absent").err();
    println!("absent: {}", absent.as_ref().and_then(Error::code).unwrap_or("-"));

    // SAFETY: the type is that of guests/side/shapes.c.
    let bonus: Unary = unsafe { transmute(function(&shapes, "shapes_bonus")?) };
    if !late {
        show(
            "bonus",
            dlopen(&format!("{directory}/bonus.wasm"), Flags::NOW | Flags::GLOBAL),
        );
    }
    println!("bonus {}", bonus(1));

    let again = dlopen(&format!("{directory}/shapes.wasm"), Flags::LAZY)?;
    println!("closed {} {}", shapes.close().is_ok(), again.close().is_ok());
    Ok(())
}
