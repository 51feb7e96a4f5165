//! Shared buffers: lengths, growing, windows, views, errors; memory of the program's own grows in between.

use nodule_sdk::shared_memory::SharedBuffer;

fn show(what: &str, result: nodule_sdk::Result<()>) {
    match result {
        Ok(()) => println!("{what}: ok"),
        Err(error) => println!("{what}: {} {}", error.name(), error.code().unwrap_or("-")),
    }
}

/// Allocates much, in blocks that the allocator must find room for around the windows.
fn allocate(byte: u8) -> Vec<Vec<u8>> {
    (0..40).map(|n| vec![byte; 50_000 + n]).collect()
}

#[nodule_sdk::main]
fn main() -> nodule_sdk::Result<()> {
    let before = allocate(1);
    let buffer = SharedBuffer::new(100_000)?;
    println!(
        "{} {} {}",
        buffer.byte_length(),
        buffer.max_byte_length(),
        buffer.is_growable()
    );
    println!("aligned {}", buffer.map().addr() % 65_536 == 0);
    let between = allocate(2);
    let growable = SharedBuffer::growable(10, 200_000)?;
    println!(
        "{} {} {}",
        growable.byte_length(),
        growable.max_byte_length(),
        growable.is_growable()
    );
    let after = allocate(3);

    println!(
        "views {} {} {}",
        growable.as_u8().len(),
        growable.as_i32().len(),
        growable.as_u64().len()
    );
    growable.grow(64)?;
    println!(
        "views {} {} {}",
        growable.as_u8().len(),
        growable.as_i32().len(),
        growable.as_u64().len()
    );
    show("shrink", growable.grow(63));
    show("beyond", growable.grow(200_001));
    show("fixed", buffer.grow(100_001));
    show("too long", SharedBuffer::new(usize::MAX).map(drop));
    show("above maximum", SharedBuffer::growable(2, 1).map(drop));

    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    buffer.write(0, &bytes)?;
    let mut read = vec![0; 1_000];
    buffer.read(99_000, &mut read)?;
    println!("bytes {}", read == bytes[99_000..]);
    show("behind", buffer.read(99_001, &mut read));
    println!(
        "zeros {}",
        growable
            .as_u8()
            .iter()
            .all(|cell| cell.load(std::sync::atomic::Ordering::Relaxed) == 0)
    );
    let intact = [(&before, 1), (&between, 2), (&after, 3)];
    println!(
        "own memory {}",
        intact
            .iter()
            .all(|(blocks, byte)| blocks.iter().flatten().all(|b| b == byte))
    );

    // A clone is the same; the window is there until the last is gone, and the next buffer takes its place.
    let clone = buffer.clone();
    let address = buffer.map();
    drop(buffer);
    println!(
        "clone {} {}",
        clone.as_u8()[99_999].load(std::sync::atomic::Ordering::Relaxed),
        clone.map() == address
    );
    drop(clone);
    let next = SharedBuffer::new(70_000)?;
    println!("next {} {:?}", next.map() == address, next.as_u8()[1]);
    // The host reads and writes windows like other memory.
    next.write(0, b"written by the host from a window\n")?;
    // SAFETY: the window is longer, and nobody else has the buffer.
    let text = unsafe { std::slice::from_raw_parts(next.map(), 34) };
    std::io::Write::write_all(&mut std::io::stdout(), text)?;
    Ok(())
}
