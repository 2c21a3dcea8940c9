/* qingfen device - devices: records beyond a device's cap. */
#include "tools/device.h"

#include <string.h>

static const char usage[] = "用法 usage: qingfen device aside|release --help\n";

int verb_device(int argc, char **argv)
{
	static const struct verb verbs[] = { { "aside", device_aside, "", "" }, { "release", device_aside, "", "" } };

	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(usage, stdout);
		return EXIT_OK;
	}
	fputs(usage, stderr);
	return EXIT_USAGE;
}
