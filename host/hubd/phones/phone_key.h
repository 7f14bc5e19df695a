/* phone_key.h - how long phones have not used this hub's ADB key.
 *
 * Android forgets a key that a person approved when it was not used for a week (AOSP,
 * AdbDebuggingManager: adb_allowed_connection_time); a phone that is off for longer comes back
 * unauthorized, and somebody has to touch it. Keys built into the image do not expire. */
#ifndef HOST_HUBD_PHONES_PHONE_KEY_H
#define HOST_HUBD_PHONES_PHONE_KEY_H

#include "firmware/hub.h"

enum { PHONE_KEY_WARN_DAYS = 6 }; /* a day is left */

/* Wall clock of the moment since when the phone has not been connected; 0: it is connected or
 * connecting now, unauthorized already, never was, or the time is not known. After a restart of the
 * program it may be earlier than the truth. */
uint64_t phone_key_unused_since_ms(const struct hub *hub, uint32_t phone);

/* Phones whose key is about to be forgotten, or was. */
uint32_t phone_key_expiring(const struct hub *hub);

#endif
