/* SPDX-License-Identifier: MIT */
/* What object_sidecar.c and data_sidecar.c share: the note of whose the data is. */
#ifndef UNISHM_POSIX_SIDECAR_H
#define UNISHM_POSIX_SIDECAR_H

#include <stdint.h>
#include <sys/types.h>

/* The record has the inode of the data. Before, under the claim: NO_DATA until the maker has seen
 * that there is no object of that name; then ANY_DATA, until it has made one. So what has the name
 * then is the maker's, also if it died at once; and if it finds in making it that another program
 * was faster, it goes back to NO_DATA. Where objects have no inode (macOS) it stays at ANY_DATA. */
enum { NO_DATA = 0 };
#define ANY_DATA UINT64_MAX

int ushp_sidecar_write_note(int record_fd, uint64_t note);
int ushp_sidecar_read_note(int record_fd, uint64_t *note);

/* Open the object with the data. */
int ushp_sidecar_open_data(const char *name, int access);

/* The umask takes bits away; the BSDs give a file the group of its directory. */
int ushp_sidecar_set_mode(int fd, mode_t mode);

#endif
