/* SPDX-License-Identifier: MIT */
/* unishm doctor: what this system offers each backend, how full it is, and what will cause
 * trouble. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "command.h"
#include "segments.h"
#include "system.h"

/* ---- Findings ------------------------------------------------------------- */

enum level { OK, NOTE, PROBLEM };

static const char *const level_names[] = { "ok", "note", "problem" };

static struct {
	struct json json;
	bool as_json, colour, wrapped;
	unsigned count[3]; /* of findings of each level */
	time_t stale_after;
} report;

/* Programs read one line for each finding, people as many as the terminal needs. */
static void print_text(const char *text, int at)
{
	if (report.wrapped)
		print_wrapped(stdout, text, at);
	else
		puts(text);
}

static void print_finding(enum level level, const char *subject, const char *text,
		const char *remedy)
{
	static const enum style styles[] = { GREEN, YELLOW, BOLD_RED };
	enum style style = report.colour ? styles[level] : PLAIN;
	char line[900];
	printf("%s%-7s%s ", style_on(style), level_names[level], style_off(style));
	snprintf(line, sizeof line, "%s: %s", subject, text);
	print_text(line, 8);
	if (!*remedy)
		return;
	printf("        -> ");
	print_text(remedy, 11);
}

static void print_json_finding(enum level level, const char *subject, const char *text,
		const char *remedy)
{
	json_object(&report.json, NULL);
	json_string(&report.json, "level", level_names[level]);
	json_string(&report.json, "subject", subject);
	json_string(&report.json, "finding", text);
	json_string(&report.json, "remedy", *remedy ? remedy : NULL);
	json_end(&report.json);
}

/* @remedy: "" if nothing needs to be done. */
static void find(enum level level, const char *subject, const char *remedy, const char *format, ...)
		PRINTF_LIKE(4, 5);
static void find(enum level level, const char *subject, const char *remedy, const char *format, ...)
{
	char text[700];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	make_printable(text);
	(report.as_json ? print_json_finding : print_finding)(level, subject, text, remedy);
	report.count[level]++;
}

/* The remedy of a message stands behind a semicolon. */
static void find_failure(const char *subject, const char *message)
{
	const char *remedy = strstr(message, "; ");
	find(PROBLEM, subject, remedy ? remedy + 2 : "", "%.*s", (int)strcspn(message, ";"),
			message);
}

static bool is_built(const char *backend)
{
	return is_backend(backend) && (!chosen_backend || strcmp(chosen_backend, backend) == 0);
}

static unsigned percent(uint64_t part, uint64_t whole)
{
	return whole ? (unsigned)((double)part / (double)whole * 100) : 100;
}

static enum level fullness(uint64_t part, uint64_t whole)
{
	return percent(part, whole) >= 90 ? PROBLEM : OK;
}

/* ---- Does each backend work? ---------------------------------------------- */

/* NULL: what the message says. */
static const char *remedy_for(int rc, const char *backend)
{
	bool posix = strcmp(backend, "posix") == 0;
	switch (rc) {
	case -ENOSPC:
	case -ENOMEM:
		return posix ? "remove unused segments (unishm list; unishm list --foreign), "
				"or enlarge /dev/shm" : "remove unused segments (unishm list), or "
				"raise the limit (see kernel.shmmni and kernel.shmall below)";
	case -EMFILE:
	case -ENFILE:
		return "raise the limit of open files (ulimit -n, fs.file-max)";
	case -EACCES:
	case -EPERM:
		return posix ? "chmod 1777 /dev/shm, or allow it in the policy of this system"
				: "allow shmget in the policy of this system or container";
	case -EROFS:
		return "mount /dev/shm for writing";
	case -EFBIG:
		return "raise the limit of file sizes (ulimit -f)";
	case -ENOENT:
		return "mount a tmpfs on /dev/shm";
	default:
		return NULL;
	}
}

static void report_failed(const char *backend, int rc)
{
	const char *said = library_message(), *own = strstr(said, "; ");
	const char *remedy = remedy_for(rc, backend);
	find(PROBLEM, backend, remedy ? remedy : own ? own + 2 : "use the other backend", "%.*s",
			(int)strcspn(said, ";"), said);
}

static void check_backends(void)
{
	for (const char *const *name = unishm_backends(); *name; name++) {
		if (!is_built(*name))
			continue;
		int rc = try_backend(*name);
		if (rc == 0)
			find(OK, *name, "", "a segment can be created, attached and removed%s",
					*name == unishm_backends()[0] ? "; it is the default" : "");
		else
			report_failed(*name, rc);
	}
}

/* ---- System V limits ------------------------------------------------------ */

static void check_shmmax(void)
{
	uint64_t most;
	if (!system_number(SYSTEM_SHMMAX, &most))
		return;
	bool small = most < (uint64_t)64 << 20;
	if (most > UINT64_MAX / 4) {
		find(OK, "sysv", "", "the size of a segment is unlimited (kernel.shmmax)");
		return;
	}
	find(small ? NOTE : OK, "sysv", small ? "sysctl -w kernel.shmmax=BYTES" : "",
			"a segment can have %s%s at most (kernel.shmmax)", human_size(most).text,
			most < 1024 ? most == 1 ? " byte" : " bytes" : "");
}

static void check_shmmni(uint64_t segments)
{
	uint64_t most;
	if (!system_number(SYSTEM_SHMMNI, &most))
		return;
	enum level level = fullness(segments, most);
	find(level, "sysv", level == OK ? "" : "remove unused ones (unishm remove --unattached), "
			"or sysctl -w kernel.shmmni=NUMBER", "%llu of %llu possible segments exist "
			"(kernel.shmmni)", (unsigned long long)segments, (unsigned long long)most);
}

static void check_shmall(uint64_t pages)
{
	uint64_t most, page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct text used = human_size(pages * page);
	if (!system_number(SYSTEM_SHMALL, &most))
		return;
	enum level level = fullness(pages, most);
	if (most > UINT64_MAX / 2 / page)
		find(OK, "sysv", "", "segments hold %s; their sum is unlimited (kernel.shmall)",
				used.text);
	else
		find(level, "sysv", level == OK ? "" :
				"remove unused ones (unishm remove --unattached), "
				"or sysctl -w kernel.shmall=PAGES",
				"segments hold %s of %s (kernel.shmall)", used.text,
				human_size(most * page).text);
}

struct usage {
	uint64_t segments, pages;
};

static int add_usage(const struct system_segment *segment, void *arg)
{
	struct usage *usage = arg;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	usage->segments++;
	usage->pages += (segment->size + page - 1) / page;
	return 0;
}

static void check_sysv_usage(void)
{
	struct usage usage = { 0, 0 };
	if (system_segments(add_usage, &usage) < 0) {
		find(NOTE, "sysv", "", "this system does not tell how full its limits are");
		return;
	}
	check_shmmni(usage.segments);
	check_shmall(usage.pages);
}

static void check_rmid_forced(void)
{
	uint64_t forced;
	if (system_number(SYSTEM_SHM_RMID_FORCED, &forced) && forced)
		find(PROBLEM, "sysv", "sysctl -w kernel.shm_rmid_forced=0",
				"kernel.shm_rmid_forced is %llu: "
				"a segment is removed when the last process detaches it",
				(unsigned long long)forced);
}

/* ---- The shared memory file system ---------------------------------------- */

static void check_space(const char *directory, const struct statvfs *fs)
{
	uint64_t block = fs->f_frsize ? fs->f_frsize : fs->f_bsize;
	uint64_t size = fs->f_blocks * block, room = fs->f_bavail * block;
	const char *more = "remove unused segments (unishm list; unishm list --foreign), "
			"or mount -o remount,size=BYTES /dev/shm";
	enum level level = size ? fullness(size - room, size) : NOTE;
	if (size)
		find(level, directory, level == OK ? "" : more, "%s of %s are free (%u%% used)",
				human_size(room).text, human_size(size).text, percent(size - room,
				size));
	else
		find(NOTE, directory, "mount -o remount,size=BYTES /dev/shm",
				"its size is unlimited");
	if (size && size <= (uint64_t)64 << 20)
		find(PROBLEM, directory, "mount -o remount,size=BYTES /dev/shm; for a container: "
				"docker run --shm-size=BYTES, or an emptyDir of medium Memory",
				"it has only %s, as in a container by default",
				human_size(size).text);
	if (fs->f_files && fs->f_ffree * 10 < fs->f_files)
		find(PROBLEM, directory, "remove unused segments, "
				"or mount -o remount,nr_inodes=NUMBER /dev/shm",
				"%llu of %llu inodes are free",
				(unsigned long long)fs->f_ffree, (unsigned long long)fs->f_files);
}

static void check_directory_mode(const char *directory)
{
	struct stat st;
	if (stat(directory, &st) < 0 || (st.st_mode & 07777) == 01777)
		return;
	unsigned long mode = st.st_mode & 07777;
	find((mode & 01777) == 01777 ? NOTE : PROBLEM, directory, "chmod 1777 /dev/shm",
			"its mode is %04lo, not 1777%s", mode, (mode & 0777) != 0777
			? ": not all users can use it" : !(mode & S_ISVTX)
			? ": each user can remove the segments of others" : "");
}

static void check_shm_directory(void)
{
	struct statvfs fs;
	const char *directory = system_shm_directory();
	if (!directory) {
		find(NOTE, "posix", "", "this system does not tell how much room it has");
		return;
	}
	if (statvfs(directory, &fs) < 0) {
		find(PROBLEM, directory, "mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm",
				"%s", strerror(errno));
		return;
	}
	check_space(directory, &fs);
	check_directory_mode(directory);
	if (system_is_noexec(&fs))
		find(NOTE, directory, "mount -o remount,exec /dev/shm, if a program needs it",
				"it is mounted noexec: attaching with UNISHM_EXEC fails");
}

static void check_protected_regular(void)
{
	uint64_t level;
	if (system_number(SYSTEM_PROTECTED_REGULAR, &level) && level)
		find(NOTE, "posix", "", "fs.protected_regular is %llu: plain shm_open with O_CREAT "
				"fails on segments of other users; this library works all the same",
				(unsigned long long)level);
}

/* ---- Limits of this process ----------------------------------------------- */

static struct text limit_text(rlim_t limit, bool bytes)
{
	struct text text = { "unlimited" };
	if (limit == RLIM_INFINITY)
		return text;
	if (bytes)
		return human_size((uint64_t)limit);
	snprintf(text.text, sizeof text.text, "%llu", (unsigned long long)limit);
	return text;
}

static void check_memlock(void)
{
	struct rlimit limit;
	bool root = geteuid() == 0;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return;
	bool none = limit.rlim_cur == 0 && !root;
	bool unlimited = root || limit.rlim_cur == RLIM_INFINITY;
	find(none ? NOTE : OK, "limits", none ? "raise it with ulimit -l, or in limits.conf" : "",
			unlimited ? "this user may lock any amount of memory (RLIMIT_MEMLOCK is "
			"%s%s)" : "this user may lock %s of memory (RLIMIT_MEMLOCK)%s",
			limit_text(limit.rlim_cur, true).text, unlimited
			&& root ? ", which root exceeds" : "");
}

static void check_files(void)
{
	struct rlimit limit;
	uint64_t used, most;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		bool few = limit.rlim_cur < 64;
		find(few ? PROBLEM : OK, "limits", few ? "raise it with ulimit -n, "
				"or in limits.conf" : "", "a process may have %s open files "
				"(RLIMIT_NOFILE)", limit_text(limit.rlim_cur, false).text);
	}
	if (!system_open_files(&used, &most) || most > INT64_MAX)
		return;
	enum level level = fullness(used, most);
	find(level, "limits", level == OK ? "" : "sysctl -w fs.file-max=NUMBER",
			"%llu of %llu files are open in the whole system (fs.file-max)",
			(unsigned long long)used, (unsigned long long)most);
}

static void check_limits(void)
{
	struct rlimit limit;
	check_memlock();
	check_files();
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		find(NOTE, "limits", "raise it with ulimit -f, or in limits.conf",
				"posix segments cannot be larger than %s (RLIMIT_FSIZE)",
				limit_text(limit.rlim_cur, true).text);
}

/* ---- Surroundings --------------------------------------------------------- */

static void check_namespaces(void)
{
	if (system_foreign_namespace("ipc") == 1)
		find(NOTE, "sysv", "enter it with nsenter --ipc --target PID to see its segments",
				"this process is in another IPC namespace than process 1: "
				"it sees other segments");
	if (system_foreign_namespace("mnt") == 1)
		find(NOTE, "posix", "enter it with nsenter --mount --target PID "
				"to see its segments",
				"this process is in another mount namespace than "
				"process 1: /dev/shm may be another");
}

static void check_remove_ipc(void)
{
	char origin[320];
	if (system_remove_ipc(origin, sizeof origin) != 1)
		return;
	bool spared = geteuid() < 1000; /* systemd spares system users */
	find(spared ? NOTE : PROBLEM, "systemd", "set RemoveIPC=no in /etc/systemd/logind.conf, "
			"or let a system user own the segments, or run loginctl enable-linger USER",
			"RemoveIPC is on (%s): when a user logs out, "
			"logind removes all segments of that user, of both kinds%s",
			*origin ? origin : "the default",
			spared ? "; not those of this system user" : "");
}

/* ---- Segments that are left over ------------------------------------------ */

static void report_stale(const struct unishm_status *st, const struct filter *filter)
{
	char remedy[128];
	snprintf(remedy, sizeof remedy, "unishm remove %s, if no program will use it again",
			segment_spelling(st).text);
	find(passes(st, filter) ? PROBLEM : NOTE, st->backend, remedy,
			"%s (%s, owner %s) may be stale: "
			"no process attaches it, and process %ld, which created it, has ended",
			segment_spelling(st).text, human_size(st->size).text,
			user_name(st->owner_user).text, (long)st->creator_process);
}

static void report_orphan(const struct unishm_status *st)
{
	char remedy[128];
	snprintf(remedy, sizeof remedy, "end the processes that unishm show %s names, to free it",
			segment_spelling(st).text);
	find(NOTE, st->backend, remedy, "%s was removed, but is attached %lu time%s, "
			"which keeps its %s", segment_spelling(st).text, st->number_attached,
			plural(st->number_attached), human_size(st->size).text);
}

/* Many of one kind are summed up. */
enum { MOST_STALE = 20 };

static void report_more(size_t count, uint64_t bytes)
{
	find(NOTE, "segments", "see unishm list --unattached --dead-creator",
			"%zu more segment%s (%s) may be stale", count, plural(count),
			human_size(bytes).text);
}

static void check_left_over(const struct rows *rows)
{
	struct filter stale = { .older = true, .older_than = report.stale_after };
	size_t count = 0;
	uint64_t bytes = 0;
	for (size_t i = 0; i < rows->count; i++) {
		const struct unishm_status *st = &rows->item[i].st;
		bool left = st->number_attached == 0 && process_is_dead(st->creator_process);
		if (st->removed)
			report_orphan(st);
		else if (left && ++count <= MOST_STALE)
			report_stale(st, &stale);
		else if (left)
			bytes += st->size;
	}
	if (count > MOST_STALE)
		report_more(count - MOST_STALE, bytes);
}

static void check_unreadable(const struct rows *rows)
{
	size_t count = count_unreadable(rows);
	if (count)
		find(NOTE, "segments", "run unishm doctor as root, to examine all",
				"%zu segment%s not examined: this user may not read %s", count,
				were(count), count == 1 ? "it" : "them");
}

static void check_unfinished(void)
{
	struct rows rows = { NULL, 0, 0 };
	if (collect_unfinished(&rows) == 0 && rows.count)
		find(NOTE, "segments", "unishm remove --unfinished",
				"%zu segment%s left unfinished by processes that died", rows.count,
				were(rows.count));
	free_rows(&rows);
}

/* ---- What else lies under the library's names ------------------------------ */

struct objects {
	struct row_index listed;
	size_t foreign;
	uint64_t bytes;
};

/* Why the library does not list it. It opens; it makes and removes nothing. */
static int try_to_open(const struct system_object *object)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg;
	opt.backend = "posix";
	if (strncmp(object->name, "ushm.", 5) == 0) {
		opt.key = (key_t)(int32_t)(uint32_t)strtoul(object->name + 5, NULL, 16);
	} else {
		opt.flags = UNISHM_BY_ID;
		opt.id = object->id;
	}
	int rc = unishm_open_with(&seg, &opt);
	if (rc == 0)
		unishm_close(seg);
	return rc;
}

static void examine_name(const struct system_object *object)
{
	char remedy[160];
	int rc = try_to_open(object);
	if (rc == 0 || rc == -EACCES || rc == -ENOENT || rc == -EIDRM)
		return; /* it came or goes meanwhile, or is unfinished */
	snprintf(remedy, sizeof remedy, "if no program uses it: rm %s/%s", system_shm_directory(),
			object->name);
	find(NOTE, "posix", rc == -ENOTSUP ? "use the newer version of unishm for it" : remedy,
			"%s/%s (%s) has a name of this library, but is no whole segment: %s",
			system_shm_directory(), object->name,
			human_size((uint64_t)object->st->st_size).text, library_message());
}

static int examine_object(const struct system_object *object, void *arg)
{
	struct objects *objects = arg;
	if (!object->ours) {
		objects->foreign++;
		objects->bytes += (uint64_t)object->st->st_blocks * 512;
	} else if (!object->draft && !find_row(&objects->listed, "posix", object->id)
			&& system_may_read(object->name)) {
		examine_name(object);
	}
	return 0;
}

static void check_objects(const struct rows *rows)
{
	struct objects objects = { index_rows(rows), 0, 0 };
	int rc = objects.listed.row ? system_objects(examine_object, &objects) : -ENOMEM;
	free_index(&objects.listed);
	if (rc < 0 || !objects.foreign)
		return;
	find(OK, "posix", "", "%zu object%s of other programs hold%s %s (unishm list --foreign)",
			objects.foreign, plural(objects.foreign), objects.foreign == 1 ? "s" : "",
			human_size(objects.bytes).text);
}

static void check_segments(void)
{
	struct rows rows = { NULL, 0, 0 };
	static const struct filter everything;
	keep_errors(true);
	int status = collect(&rows, &everything);
	keep_errors(false);
	if (status != DONE)
		find_failure("segments", kept_line());
	check_left_over(&rows);
	check_unreadable(&rows);
	check_unfinished();
	if (is_built("posix"))
		check_objects(&rows);
	free_rows(&rows);
}

/* ---- The command ---------------------------------------------------------- */

static void examine(void)
{
	check_backends();
	if (is_built("sysv")) {
		check_shmmax();
		check_sysv_usage();
		check_rmid_forced();
	}
	if (is_built("posix")) {
		check_shm_directory();
		check_protected_regular();
	}
	check_limits();
	check_namespaces();
	check_remove_ipc();
	check_segments();
}

static void print_summary(void)
{
	unsigned problems = report.count[PROBLEM], notes = report.count[NOTE];
	if (problems)
		printf("\n%u problem%s found", problems, plural(problems));
	else
		printf("\nNo problem found");
	printf("; %u note%s; %u check%s passed.\n", notes, plural(notes), report.count[OK],
			plural(report.count[OK]));
}

static void examine_as_json(void)
{
	report.json.out = stdout;
	json_object(&report.json, NULL);
	json_lines(&report.json, "findings");
	examine();
	json_end(&report.json);
	json_size(&report.json, "problems", report.count[PROBLEM]);
	json_size(&report.json, "notes", report.count[NOTE]);
	json_end(&report.json);
}

static int run_doctor(int argc, char **argv)
{
	report.colour = stream_has_colour(stdout);
	report.wrapped = isatty(STDOUT_FILENO);
	report.stale_after = 3600;
	for (int c; (c = next_option(argc, argv)) != -1;) {
		if (c == 'J')
			report.as_json = true;
		else if (c != OPT_OLDER_THAN)
			return option_status;
		else if (parse_age(optarg, "--older-than", &report.stale_after) != DONE)
			return USAGE;
	}
	if (optind < argc)
		return usage_error("doctor takes no argument \"%s\"", argv[optind]);
	if (report.as_json) {
		examine_as_json();
	} else {
		examine();
		print_summary();
	}
	return report.count[PROBLEM] ? FAILED : DONE;
}

const struct command doctor_command = {
	.bit = DOCTOR,
	.name = "doctor",
	.arguments = "[OPTION]...",
	.summary = "Look for what is wrong or will cause trouble on this system",
	.notes = "The exit status is 1 if there is a problem.",
	.run = run_doctor,
};
