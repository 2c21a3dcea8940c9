/*
 * sim - counterparts in a box: a generated city, thousands of validators in one process, the
 * T-Union centre, a bank, and probes that speak badly on purpose. Each is one qingfen sim <part>.
 *
 * Everything here is test material: keys, cards and people are made from a seed and are worth
 * nothing.
 */
#ifndef TOOLS_SIM_SIM_H
#define TOOLS_SIM_SIM_H

int sim_city(int argc, char **argv);
int sim_taps(int argc, char **argv);
int sim_validators(int argc, char **argv);
int sim_tunion(int argc, char **argv) __attribute__((weak));
int sim_bank(int argc, char **argv) __attribute__((weak));
int sim_bankcards(int argc, char **argv);
int sim_codes(int argc, char **argv);
int sim_ridecode(int argc, char **argv);
int sim_identity(int argc, char **argv);
int sim_host(int argc, char **argv);
int sim_probe(int argc, char **argv) __attribute__((weak));

#endif
