// A side module that another one needs.

int numbers_scale = 10;

int numbers_scaled(int value) { return value * numbers_scale; }
