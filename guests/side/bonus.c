// A side module that provides what another one found missing.

int late_bonus(int value) { return value + 1000; }
