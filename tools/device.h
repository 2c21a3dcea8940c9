/*
 * device - qingfen device: what the files of this verb share. The device CA's folder, its register, and what a person
 * decides about records of devices. docs/devices.md.
 */
#ifndef TOOLS_DEVICE_H
#define TOOLS_DEVICE_H

#include "tools/tools.h"

int device_aside(int argc, char **argv);	/* aside, release */

#endif
