/// The seed of a test with chance in it: `HOROLOG_SEED`, or a new one, which is printed.
pub fn seed() -> u64 {
    let seed = std::env::var("HOROLOG_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("HOROLOG_SEED={seed}");
    seed
}
