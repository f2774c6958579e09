/* SPDX-License-Identifier: MIT */
#include "history.h"

#include <stdlib.h>
#include <string.h>

#include "unishm.h"

/* ---- Numbers ------------------------------------------------------------- */

uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9); /* splitmix64 */
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

unsigned below(uint64_t *state, unsigned bound)
{
	return (unsigned)(draw(state) % bound);
}

static bool chance(uint64_t *state, unsigned percent)
{
	return below(state, 100) < percent;
}

#define PICK(state, list) ((list)[below(state, sizeof(list) / sizeof *(list))])

/* ---- Words --------------------------------------------------------------- */

struct word {
	const char *text;
	int bit;
};

static const struct word how_words[] = {
	{ "create", HOW_CREATE }, { "excl", HOW_EXCL }, { "init", HOW_INIT },
	{ "init-fails", HOW_INIT_FAILS }, { "noreserve", HOW_NORESERVE },
	{ "bad-oflag", HOW_BAD_OFLAG }, { NULL, 0 },
};

static const struct word attach_words[] = {
	{ "rdonly", UNISHM_RDONLY }, { "exec", UNISHM_EXEC }, { "populate", UNISHM_POPULATE },
	{ "rnd", UNISHM_RND }, { "remap", UNISHM_REMAP }, { "unknown", 1 << 10 }, { NULL, 0 },
};

enum kind { NUMBER, OCTAL, HOW, FLAGS };

struct parameter {
	const char *name;
	enum kind kind;
};

static const struct form {
	const char *name;
	unsigned weight;
	struct parameter with[ARGUMENTS];
} forms[OPS] = {
	[OP_SPAWN] = { "spawn", 3, { { 0 } } },
	[OP_OPEN] = { "open", 14, { { "handle", NUMBER }, { "key", NUMBER }, { "how", HOW },
			{ "size", NUMBER }, { "mode", OCTAL } } },
	[OP_OPEN_ID] = { "open-id", 4, { { "handle", NUMBER }, { "which", NUMBER } } },
	[OP_CLOSE] = { "close", 5, { { "handle", NUMBER } } },
	[OP_ATTACH] = { "attach", 12, { { "handle", NUMBER }, { "slot", NUMBER },
			{ "flags", FLAGS } } },
	[OP_ATTACH_AT] = { "attach-at", 8, { { "handle", NUMBER }, { "slot", NUMBER },
			{ "flags", FLAGS }, { "page", NUMBER }, { "skew", NUMBER } } },
	[OP_DETACH] = { "detach", 9, { { "handle", NUMBER }, { "slot", NUMBER },
			{ "address", NUMBER } } },
	[OP_WRITE] = { "write", 7, { { "slot", NUMBER }, { "offset", NUMBER },
			{ "length", NUMBER }, { "value", NUMBER } } },
	[OP_CHMOD] = { "chmod", 4, { { "handle", NUMBER }, { "mode", OCTAL } } },
	[OP_CHOWN] = { "chown", 3, { { "handle", NUMBER }, { "user", NUMBER },
			{ "group", NUMBER } } },
	[OP_BECOME] = { "become", 4, { { "user", NUMBER } } },
	[OP_UMASK] = { "umask", 1, { { "mask", OCTAL } } },
	[OP_LOCK] = { "lock", 3, { { "handle", NUMBER } } },
	[OP_UNLOCK] = { "unlock", 2, { { "handle", NUMBER } } },
	[OP_REMOVE] = { "remove", 5, { { "handle", NUMBER } } },
	[OP_FORK] = { "fork", 5, { { "child", NUMBER }, { "handlers", NUMBER } } },
	[OP_EXEC] = { "exec", 2, { { 0 } } },
	[OP_EXIT] = { "exit", 2, { { "how", NUMBER } } },
	[OP_KILL] = { "kill", 3, { { 0 } } },
	[OP_VFORK] = { "vfork", 1, { { "exec", NUMBER } } },
	[OP_POSIX_SPAWN] = { "posix-spawn", 1, { { 0 } } },
	[OP_LIST] = { "list", 2, { { 0 } } },
	[OP_CLOSE_FDS] = { "close-fds", 1, { { "replace", NUMBER } } },
	[OP_MOVE] = { "move", 1, { { 0 } } },
	[OP_HIDE] = { "hide", 1, { { "key", NUMBER }, { "how", NUMBER } } },
	[OP_SCRIBBLE] = { "scribble", 1, { { "key", NUMBER } } },
	[OP_PAUSE] = { "pause", 0, { { 0 } } },
};

/* ---- Generating ---------------------------------------------------------- */

/* What the generator believes the world is like by now, so that most steps have
 * something to work on. Nothing depends on it being right. */
struct guess {
	uint64_t random;
	unsigned users;
	bool alive[ACTORS];
	bool open[ACTORS][HANDLES];
	int slot[ACTORS][SLOTS]; /* the handle + 1 */
};

static int any_handle(struct guess *g, unsigned actor)
{
	unsigned first = below(&g->random, HANDLES);
	for (unsigned i = 0; i < HANDLES && !chance(&g->random, 4); i++)
		if (g->open[actor][(first + i) % HANDLES])
			return (int)((first + i) % HANDLES);
	return (int)first;
}

static int free_handle(struct guess *g, unsigned actor)
{
	unsigned first = below(&g->random, HANDLES);
	for (unsigned i = 0; i < HANDLES; i++)
		if (!g->open[actor][(first + i) % HANDLES])
			return (int)((first + i) % HANDLES);
	return (int)first;
}

static int any_slot(struct guess *g, unsigned actor, bool used)
{
	unsigned first = below(&g->random, SLOTS);
	for (unsigned i = 0; i < SLOTS; i++)
		if ((g->slot[actor][(first + i) % SLOTS] != 0) == used)
			return (int)((first + i) % SLOTS);
	return (int)first;
}

static int32_t any_mode(struct guess *g)
{
	static const int32_t usual[] = { 0600, 0660, 0666, 0644, 0640 };
	static const int32_t odd[] = { 0400, 0000, 0200, 0060, 0006, 0777, 0755, 0444, 0606, 0604,
		01777, 0066, 0100600 };
	return chance(&g->random, 70) ? PICK(&g->random, usual) : PICK(&g->random, odd);
}

static int32_t any_size(struct guess *g)
{
	static const int32_t usual[] = { 1, 100, 1024, 4095, 4096, 4097, 8192, 10000 };
	static const int32_t odd[] = { 0, 0, 0, 65535, 65536, 65537, 300000, 1048576, -1 };
	return chance(&g->random, 65) ? PICK(&g->random, usual) : PICK(&g->random, odd);
}

static void fill_open(struct guess *g, struct step *s)
{
	static const int32_t hows[] = { 0, 0, HOW_CREATE, HOW_CREATE, HOW_CREATE,
		HOW_CREATE | HOW_EXCL, HOW_CREATE | HOW_EXCL, HOW_CREATE | HOW_INIT,
		HOW_CREATE | HOW_EXCL | HOW_INIT };
	s->arg[0] = free_handle(g, s->actor);
	s->arg[1] = chance(&g->random, 12) ? 0 : 1 + (int32_t)below(&g->random, KEYS);
	s->arg[2] = PICK(&g->random, hows);
	if (s->arg[2] & HOW_INIT && chance(&g->random, 15))
		s->arg[2] |= HOW_INIT_FAILS;
	if (chance(&g->random, 5))
		s->arg[2] |= chance(&g->random, 50) ? HOW_NORESERVE : HOW_BAD_OFLAG;
	if (chance(&g->random, 2))
		s->arg[2] = HOW_EXCL;
	s->arg[3] = s->arg[2] & HOW_CREATE || chance(&g->random, 40) ? any_size(g) : 0;
	s->arg[4] = any_mode(g);
	g->open[s->actor][s->arg[0]] = true;
}

static int32_t any_flags(struct guess *g)
{
	static const int32_t odd[] = { UNISHM_RDONLY, UNISHM_RDONLY, UNISHM_RDONLY, UNISHM_EXEC,
		UNISHM_POPULATE, UNISHM_POPULATE | UNISHM_RDONLY, UNISHM_EXEC | UNISHM_RDONLY,
		1 << 10, UNISHM_RND };
	return chance(&g->random, 60) ? 0 : PICK(&g->random, odd);
}

static void fill_attach(struct guess *g, struct step *s)
{
	s->arg[0] = any_handle(g, s->actor);
	s->arg[1] = any_slot(g, s->actor, false);
	s->arg[2] = any_flags(g);
	g->slot[s->actor][s->arg[1]] = s->arg[0] + 1;
}

static void fill_attach_at(struct guess *g, struct step *s)
{
	static const int32_t pages[] = { 0, 1, 2, 4, 5, 6, ARENA_TAKEN - 1, ARENA_TAKEN,
		ARENA_TAKEN + 1, ARENA_TAKEN + 2, 16, 17, 32, 33, 100 };
	static const int32_t nowhere[] = { AT_NULL, AT_TOP, AT_KERNEL };
	static const int32_t skews[] = { 1, 100, 4095 };
	fill_attach(g, s);
	if (chance(&g->random, 30))
		s->arg[2] |= UNISHM_RND;
	if (chance(&g->random, 35))
		s->arg[2] |= UNISHM_REMAP;
	s->arg[3] = chance(&g->random, 4) ? PICK(&g->random, nowhere) : PICK(&g->random, pages);
	s->arg[4] = chance(&g->random, 75) ? 0 : PICK(&g->random, skews);
}

static void fill_detach(struct guess *g, struct step *s)
{
	s->arg[1] = any_slot(g, s->actor, true);
	s->arg[0] = g->slot[s->actor][s->arg[1]] - 1;
	if (s->arg[0] < 0 || chance(&g->random, 5))
		s->arg[0] = any_handle(g, s->actor);
	s->arg[2] = chance(&g->random, 70) ? DETACH_SLOT : (int32_t)below(&g->random, DETACH_KINDS);
	if (s->arg[2] == DETACH_SLOT || s->arg[2] == DETACH_NULL)
		g->slot[s->actor][s->arg[1]] = 0;
}

static void fill_write(struct guess *g, struct step *s)
{
	s->arg[0] = any_slot(g, s->actor, true);
	s->arg[1] = (int32_t)below(&g->random, 70000);
	s->arg[2] = 1 + (int32_t)below(&g->random, 64);
	s->arg[3] = (int32_t)below(&g->random, 256);
}

static void fill_chown(struct guess *g, struct step *s)
{
	s->arg[0] = any_handle(g, s->actor);
	s->arg[1] = (int32_t)below(&g->random, g->users + 1) - 1;
	s->arg[2] = (int32_t)below(&g->random, g->users + 1) - 1;
}

/* A process ends or is made anew, with nothing open. */
static void blank(struct guess *g, unsigned actor)
{
	memset(g->open[actor], 0, sizeof g->open[actor]);
	memset(g->slot[actor], 0, sizeof g->slot[actor]);
}

static int dead_actor(struct guess *g)
{
	unsigned first = below(&g->random, ACTORS);
	for (unsigned i = 0; i < ACTORS; i++)
		if (!g->alive[(first + i) % ACTORS])
			return (int)((first + i) % ACTORS);
	return -1;
}

static unsigned living_actor(struct guess *g)
{
	unsigned first = below(&g->random, ACTORS);
	for (unsigned i = 0; i < ACTORS; i++)
		if (g->alive[(first + i) % ACTORS])
			return (first + i) % ACTORS;
	return 0;
}

static void fill_fork(struct guess *g, struct step *s)
{
	int child = dead_actor(g);
	if (child < 0) {
		s->op = OP_KILL;
		g->alive[s->actor] = false;
		blank(g, s->actor);
		return;
	}
	s->arg[0] = child;
	s->arg[1] = chance(&g->random, 15) ? (int32_t)below(&g->random, 16) : 0;
	g->alive[child] = true;
	memcpy(g->open[child], g->open[s->actor], sizeof g->open[child]);
	memcpy(g->slot[child], g->slot[s->actor], sizeof g->slot[child]);
}

static void fill_spawn(struct guess *g, struct step *s)
{
	int dead = dead_actor(g);
	if (dead < 0)
		dead = s->actor; /* which lives: the step will be passed over */
	else
		blank(g, (unsigned)dead);
	s->actor = (uint8_t)dead;
	g->alive[dead] = true;
}

static void fill_close(struct guess *g, struct step *s)
{
	s->arg[0] = any_handle(g, s->actor);
	g->open[s->actor][s->arg[0]] = false;
	for (unsigned i = 0; i < SLOTS; i++)
		if (g->slot[s->actor][i] == s->arg[0] + 1)
			g->slot[s->actor][i] = 0;
}

static void fill_end(struct guess *g, struct step *s)
{
	g->alive[s->actor] = s->op == OP_EXEC;
	blank(g, s->actor);
	s->arg[0] = s->op == OP_EXIT ? (int32_t)below(&g->random, 2) : 0;
}

static enum op any_op(struct guess *g)
{
	unsigned total = 0;
	for (unsigned i = 0; i < OPS; i++)
		total += forms[i].weight;
	unsigned at = below(&g->random, total);
	unsigned op = 0;
	while (at >= forms[op].weight)
		at -= forms[op++].weight;
	return (enum op)op;
}

static void fill_step(struct guess *g, struct step *s)
{
	switch (s->op) {
	case OP_OPEN: fill_open(g, s); break;
	case OP_ATTACH: fill_attach(g, s); break;
	case OP_ATTACH_AT: fill_attach_at(g, s); break;
	case OP_DETACH: fill_detach(g, s); break;
	case OP_WRITE: fill_write(g, s); break;
	case OP_CHOWN: fill_chown(g, s); break;
	case OP_FORK: fill_fork(g, s); break;
	case OP_SPAWN: fill_spawn(g, s); break;
	case OP_CLOSE: fill_close(g, s); break;
	case OP_EXEC: case OP_EXIT: case OP_KILL: fill_end(g, s); break;
	case OP_BECOME: s->arg[0] = (int32_t)below(&g->random, g->users); break;
	case OP_UMASK: s->arg[0] = chance(&g->random, 50) ? 0777 : 022; break;
	case OP_VFORK: case OP_CLOSE_FDS: s->arg[0] = (int32_t)below(&g->random, 2); break;
	case OP_LIST: case OP_POSIX_SPAWN: case OP_MOVE: break;
	case OP_HIDE: case OP_SCRIBBLE:
		s->arg[0] = 1 + (int32_t)below(&g->random, KEYS);
		s->arg[1] = s->op == OP_HIDE ? (int32_t)below(&g->random, 3) : 0;
		break;
	case OP_OPEN_ID:
		s->arg[0] = free_handle(g, s->actor);
		s->arg[1] = (int32_t)below(&g->random, 24) - 2;
		g->open[s->actor][s->arg[0]] = true;
		break;
	default: /* lock, unlock, remove, chmod */
		s->arg[0] = any_handle(g, s->actor);
		s->arg[1] = s->op == OP_CHMOD ? any_mode(g) : 0;
	}
}

static uint8_t any_look(struct guess *g)
{
	unsigned number = below(&g->random, 100);
	return number < 30 ? LOOK_RESULT : number < 65 ? LOOK_HANDLE : LOOK_ALL;
}

static void append(struct history *history, const struct step *step)
{
	if (history->count == history->room) {
		history->room = history->room ? 2 * history->room : 64;
		history->steps = realloc(history->steps, history->room * sizeof *step);
		if (!history->steps)
			abort();
	}
	history->steps[history->count++] = *step;
}

void history_generate(struct history *history, uint64_t seed, size_t count, unsigned users,
		bool pause)
{
	const struct step wait = { .op = OP_PAUSE };
	struct guess g = { .random = seed, .users = users, .alive = { true, true } };
	*history = (struct history){ .seed = seed };
	for (size_t i = 0; i < count; i++) {
		struct step s = { .actor = (uint8_t)living_actor(&g) };
		s.op = (uint8_t)any_op(&g);
		s.look = any_look(&g);
		s.thread = chance(&g.random, 12);
		fill_step(&g, &s);
		append(history, pause && i == count / 2 ? &wait : &s);
	}
}

void history_copy(struct history *to, const struct history *from)
{
	*to = (struct history){ .seed = from->seed };
	for (size_t i = 0; i < from->count; i++)
		append(to, &from->steps[i]);
}

void history_free(struct history *history)
{
	free(history->steps);
	*history = (struct history){ 0 };
}

void history_cut(struct history *history, size_t at, size_t count)
{
	size_t rest = history->count - at - count;
	memmove(history->steps + at, history->steps + at + count, rest * sizeof *history->steps);
	history->count -= count;
}

/* ---- Printing and reading ------------------------------------------------ */

static void print_words(FILE *out, const struct word *words, int value)
{
	const char *before = "";
	if (value == 0)
		fputc('0', out);
	for (; words->text; words++) {
		if (!(value & words->bit))
			continue;
		fprintf(out, "%s%s", before, words->text);
		before = "+";
	}
}

static void print_argument(FILE *out, const struct parameter *p, int32_t value)
{
	fprintf(out, " %s=", p->name);
	switch (p->kind) {
	case NUMBER: fprintf(out, "%ld", (long)value); break;
	case OCTAL: fprintf(out, "0%lo", (unsigned long)value); break;
	case HOW: print_words(out, how_words, value); break;
	case FLAGS: print_words(out, attach_words, value); break;
	}
}

void step_print(FILE *out, const struct step *step)
{
	const struct form *form = &forms[step->op];
	fprintf(out, "%-11s actor=%u", form->name, step->actor);
	for (unsigned i = 0; i < ARGUMENTS && form->with[i].name; i++)
		print_argument(out, &form->with[i], step->arg[i]);
	if (step->thread)
		fprintf(out, " thread=1");
	fprintf(out, " look=%u\n", step->look);
}

void history_print(FILE *out, const struct history *history)
{
	fprintf(out, "# seed %llu, %zu steps\n", (unsigned long long)history->seed, history->count);
	for (size_t i = 0; i < history->count; i++)
		step_print(out, &history->steps[i]);
}

static int read_words(const struct word *words, const char *text)
{
	int value = 0;
	while (*text) {
		size_t length = strcspn(text, "+");
		for (const struct word *w = words; w->text; w++)
			if (strlen(w->text) == length && strncmp(w->text, text, length) == 0)
				value |= w->bit;
		text += length + (text[length] == '+');
	}
	return value;
}

static int32_t read_value(enum kind kind, const char *text)
{
	if (kind == HOW)
		return read_words(how_words, text);
	if (kind == FLAGS)
		return read_words(attach_words, text);
	return (int32_t)strtol(text, NULL, 0);
}

static bool read_field(struct step *step, char *field)
{
	const struct form *form = &forms[step->op];
	char *value = strchr(field, '=');
	if (!value)
		return false;
	*value++ = '\0';
	if (strcmp(field, "actor") == 0)
		step->actor = (uint8_t)(strtoul(value, NULL, 10) % ACTORS);
	else if (strcmp(field, "look") == 0)
		step->look = (uint8_t)strtoul(value, NULL, 10);
	else if (strcmp(field, "thread") == 0)
		step->thread = (uint8_t)strtoul(value, NULL, 10);
	for (unsigned i = 0; i < ARGUMENTS && form->with[i].name; i++)
		if (strcmp(field, form->with[i].name) == 0)
			step->arg[i] = read_value(form->with[i].kind, value);
	return true;
}

static bool read_step(struct step *step, char *line)
{
	char *next, *word = strtok_r(line, " \t\n", &next);
	*step = (struct step){ .op = OPS };
	for (uint8_t i = 0; word && i < OPS; i++)
		if (strcmp(word, forms[i].name) == 0)
			step->op = i;
	if (step->op == OPS)
		return false;
	while ((word = strtok_r(NULL, " \t\n", &next)))
		if (!read_field(step, word))
			return false;
	return true;
}

bool history_read(struct history *history, FILE *in)
{
	char line[256], copy[256];
	*history = (struct history){ 0 };
	while (fgets(line, sizeof line, in)) {
		struct step step;
		if (line[strspn(line, " \t\n")] == '\0' || line[0] == '#')
			continue;
		memcpy(copy, line, sizeof copy);
		if (!read_step(&step, copy)) {
			fprintf(stderr, "not a step: %s", line);
			return false;
		}
		append(history, &step);
	}
	return true;
}

/* ---- Shrinking ----------------------------------------------------------- */

/* Leave out pieces of @size steps wherever that keeps the failure. */
static bool cut_pieces(struct history *history, size_t size, bool (*fails)(const struct history *))
{
	bool better = false;
	for (size_t at = history->count; at-- > 0;) {
		struct history trial;
		if (at + size > history->count)
			continue;
		history_copy(&trial, history);
		history_cut(&trial, at, size);
		bool keep = fails(&trial);
		if (keep) {
			history_free(history);
			*history = trial;
			better = true;
		} else {
			history_free(&trial);
		}
	}
	return better;
}

/* Does it still fail with one number of one step replaced? Then keep that. */
static bool try_value(struct history *history, void *where, size_t size, int32_t value,
		bool (*fails)(const struct history *))
{
	unsigned char old[sizeof value];
	uint8_t narrow = (uint8_t)value;
	memcpy(old, where, size);
	memcpy(where, size == 1 ? (void *)&narrow : (void *)&value, size);
	if (memcmp(old, where, size) != 0 && fails(history))
		return true;
	memcpy(where, old, size);
	return false;
}

static bool simplify_step(struct history *history, size_t at, bool (*fails)(const struct history *))
{
	struct step *s = &history->steps[at];
	bool better = false;
	if (s->thread)
		better |= try_value(history, &s->thread, 1, 0, fails);
	if (s->look)
		better |= try_value(history, &s->look, 1, 0, fails);
	for (unsigned i = 0; i < ARGUMENTS; i++) {
		static const int32_t simpler[] = { 0, 1, 0600 };
		bool mode = forms[s->op].with[i].kind == OCTAL;
		if (!forms[s->op].with[i].name || s->arg[i] == 0 || s->arg[i] == 0600)
			continue;
		for (unsigned k = mode ? 2 : 0; k < (mode ? 3u : 2u); k++)
			if (s->arg[i] != simpler[k] &&
					try_value(history, &s->arg[i], sizeof s->arg[i], simpler[k],
							fails)) {
				better = true;
				break;
			}
	}
	return better;
}

void history_shrink(struct history *history, bool (*fails)(const struct history *history))
{
	bool better = true;
	for (unsigned round = 0; better && round < 4; round++) {
		better = false;
		for (size_t size = history->count / 2; size > 0; size /= 2)
			better |= cut_pieces(history, size, fails);
		for (size_t i = 0; i < history->count; i++)
			better |= simplify_step(history, i, fails);
	}
}
