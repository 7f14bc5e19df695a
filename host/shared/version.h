/* version.h - the version of all programs; debian/changelog begins with the same one. */
#ifndef HOST_SHARED_VERSION_H
#define HOST_SHARED_VERSION_H

#define HUB_VERSION "0.1.0"

#endif
