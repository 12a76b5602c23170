/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the Python package can be, below the prefix of the installation, for the command and for ocirt-python. */
#ifndef OCIRT_LAYOUTS_H
#define OCIRT_LAYOUTS_H

#include <patchlevel.h>

#define TEXT_OF(token) #token
#define TEXT(macro) TEXT_OF(macro)
#define PYTHON_X_Y "python" TEXT(PY_MAJOR_VERSION) "." TEXT(PY_MINOR_VERSION)

static const char *const layouts[] = { "lib/" PYTHON_X_Y "/site-packages", "lib64/" PYTHON_X_Y "/site-packages",
				       "lib/" PYTHON_X_Y "/dist-packages" };

#endif
