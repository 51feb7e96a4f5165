// A side module in C: calls back into the main module, uses its data, needs `numbers`.

typedef int (*measure)(int);

// In the main module.
extern int main_note(const char *text);
extern int main_total;
// In `numbers`.
extern int numbers_scale;
extern int numbers_scaled(int value);
// In a library that is loaded later, or never.
extern int late_bonus(int value);

int shapes_created = 1;

static int sides(int n) { return n; }
static int diagonals(int n) { return n * (n - 3) / 2; }

// Filled in by the loader: addresses of functions of this module and of another one, and of data.
measure shapes_measures[3] = {sides, diagonals, numbers_scaled};
int *shapes_scale = &numbers_scale;

__attribute__((constructor)) static void count_up(void) { shapes_created += 100; }

measure shapes_measure(int index) { return shapes_measures[index]; }

// The address of a function of the main module, as this module sees it.
void *shapes_note_address(int unused) {
    (void)unused;
    return (void *)main_note;
}

int shapes_sum(measure each, int count) {
    int sum = 0;
    for (int n = 0; n < count; n++) sum += each(n);
    main_total += sum;
    main_note("summed");
    return sum + *shapes_scale;
}

int shapes_bonus(int value) { return late_bonus(value); }

// Overwrites what the stack pointer of the main module frees: the module must use that very stack.
int shapes_deep(int depth) {
    volatile int local[64];
    for (int i = 0; i < 64; i++) local[i] = depth;
    return depth == 0 ? 0 : shapes_deep(depth - 1) + local[63] - depth + 1;
}
