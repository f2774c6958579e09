/* SPDX-License-Identifier: MIT */
/* SEGMENT on the command line: what it means, and opening it. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "segments.h"

/* ---- Parsing -------------------------------------------------------------- */

static bool take_prefix(const char **text, const char *prefix)
{
	size_t length = strlen(prefix);
	if (strncmp(*text, prefix, length) != 0)
		return false;
	*text += length;
	return true;
}

/* The backend of a segment given without prefix. */
static int default_backend(const char **backend)
{
	const char *name = chosen_backend ? chosen_backend : getenv("UNISHM_BACKEND");
	if (!name || !*name)
		name = unishm_backends()[0];
	if (!is_backend(name))
		return usage_error("$UNISHM_BACKEND is \"%s\", which is not built in", name);
	*backend = name;
	return DONE;
}

static int take_backend(const char **text, struct segment_ref *ref)
{
	for (const char *const *name = unishm_backends(); *name; name++) {
		size_t length = strlen(*name);
		if (strncmp(*text, *name, length) == 0 && (*text)[length] == ':') {
			*text += length + 1;
			ref->backend = *name;
			ref->prefixed = true;
			if (chosen_backend && strcmp(chosen_backend, *name) != 0)
				return usage_error("%s is a segment of another backend than "
						"--backend %s", ref->text, chosen_backend);
			return DONE;
		}
	}
	return default_backend(&ref->backend);
}

static bool whole_number(const char *text, int base, long long least, long long most,
		long long *number)
{
	const char *digits = *text == '-' ? text + 1 : text;
	char *end;
	if (!strchr("0123456789abcdefABCDEF", *digits) || !*digits)
		return false; /* strtoll would skip spaces */
	if (base == 10 && *digits == '0' && digits[1])
		return false; /* 010: ten, or eight? */
	errno = 0;
	*number = strtoll(text, &end, base);
	return !errno && !*end && *number >= least && *number <= most;
}

static int bad_segment(const char *text)
{
	return usage_error("\"%s\" is no segment: give a key (10, 0xa), id:NUMBER, "
			"name:TEXT or path:FILE:NUMBER, perhaps after %s", text,
			unishm_backends()[1] ? "posix: or sysv:" : "the backend and a colon");
}

static int parse_key(const char *text, struct segment_ref *ref)
{
	long long number;
	bool hex = strncmp(text, "0x", 2) == 0 || strncmp(text, "0X", 2) == 0;
	if (!whole_number(hex ? text + 2 : text, hex ? 16 : 10, hex ? 0 : INT32_MIN, UINT32_MAX,
			&number))
		return bad_segment(ref->text);
	ref->key = (key_t)(int32_t)(uint32_t)number;
	return DONE;
}

/* FILE:NUMBER. The file's name may hold colons itself. */
static int parse_path(const char *text, struct segment_ref *ref)
{
	long long project;
	const char *colon = strrchr(text, ':');
	if (!colon || !whole_number(colon + 1, 10, INT32_MIN, INT32_MAX, &project))
		return bad_segment(ref->text);
	char *path = strndup(text, (size_t)(colon - text));
	if (!path)
		return out_of_memory();
	ref->key = unishm_key_from_path(path, (int)project);
	free(path);
	return ref->key == (key_t)-1 ? library_failed() : DONE;
}

static int parse_id(const char *text, struct segment_ref *ref)
{
	long long id;
	if (!whole_number(text, 10, 0, INT_MAX, &id))
		return bad_segment(ref->text);
	ref->by_id = true;
	ref->id = (int)id;
	return DONE;
}

static int parse_any(const char *text, struct segment_ref *ref, bool create)
{
	*ref = (struct segment_ref){ .text = text };
	int rc = take_backend(&text, ref);
	if (rc != DONE)
		return rc;
	if (take_prefix(&text, "id:"))
		return parse_id(text, ref);
	if (take_prefix(&text, "path:"))
		return parse_path(text, ref);
	if (take_prefix(&text, "name:")) {
		ref->key = unishm_key_from_name(text);
		return DONE;
	}
	if (create && strcmp(text, "private") == 0)
		return DONE;
	return parse_key(text, ref);
}

int parse_segment(const char *text, struct segment_ref *ref)
{
	int rc = parse_any(text, ref, false);
	if (rc == DONE && !ref->by_id && ref->key == UNISHM_PRIVATE)
		return usage_error("%s is the key of all private segments: "
				"name one of them by id:NUMBER", text);
	return rc;
}

int parse_new_segment(const char *text, struct segment_ref *ref)
{
	int rc = parse_any(text, ref, true);
	if (rc == DONE && ref->by_id)
		return usage_error("\"%s\": the system chooses the id of a new segment; give a key",
				text);
	return rc;
}

/* ---- Opening -------------------------------------------------------------- */

static int open_by_id(struct unishm **seg, const char *backend, int id)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = backend;
	opt.flags = UNISHM_BY_ID;
	opt.id = id;
	return unishm_open_with(seg, &opt);
}

int open_listed(struct unishm **seg, const struct unishm_status *st)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	if (st->key == UNISHM_PRIVATE)
		return open_by_id(seg, st->backend, st->id);
	opt.backend = st->backend;
	opt.key = st->key;
	return unishm_open_with(seg, &opt);
}

int try_open_segment(struct unishm **seg, const struct segment_ref *ref)
{
	if (ref->by_id)
		return open_by_id(seg, ref->backend, ref->id);
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	opt.backend = ref->backend;
	opt.key = ref->key;
	return unishm_open_with(seg, &opt);
}

/* Another backend that has it, for a user who named none; or NULL. */
static const char *elsewhere(const struct segment_ref *ref)
{
	if (ref->prefixed || chosen_backend)
		return NULL;
	for (const char *const *name = unishm_backends(); *name; name++) {
		struct segment_ref other = *ref;
		struct unishm *seg;
		other.backend = *name;
		if (strcmp(*name, ref->backend) != 0 && try_open_segment(&seg, &other) == 0) {
			unishm_close(seg);
			return *name;
		}
	}
	return NULL;
}

int open_segment(struct unishm **seg, const struct segment_ref *ref)
{
	int rc = try_open_segment(seg, ref);
	if (rc == 0)
		return DONE;
	/* More may be known: no place for segments at all, or one that is not finished. */
	if (rc != -ENOENT || !strstr(unishm_errmsg(), ": there is none; "))
		return library_failed();
	const char *other = elsewhere(ref);
	if (other)
		return fail("%s %s: %s has no such segment; %s has: say %s:%s", this_command->name,
				ref->text, ref->backend, other, other, ref->text);
	return fail("%s %s: %s has no such segment; see unishm list", this_command->name, ref->text,
			ref->backend);
}

int for_each_segment(int count, char **texts,
		int (*act)(struct unishm *seg, const char *text, void *arg), void *arg)
{
	if (count < 1)
		return usage_error("no segment is named");
	struct segment_ref *refs = calloc((size_t)count, sizeof *refs);
	if (!refs)
		return out_of_memory();
	int worst = DONE;
	for (int i = 0; i < count && worst == DONE; i++)
		worst = parse_segment(texts[i], &refs[i]);
	bool parsed = worst == DONE;
	for (int i = 0; i < count && parsed; i++) {
		struct unishm *seg;
		int rc = open_segment(&seg, &refs[i]);
		if (rc == DONE) {
			rc = act(seg, texts[i], arg);
			unishm_close(seg);
		}
		if (rc != DONE)
			worst = rc;
	}
	free(refs);
	return worst;
}
