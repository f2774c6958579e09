/* SPDX-License-Identifier: MIT */
/* unishm doctor: what this system offers each backend, how full it is, and what will hurt. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "command.h"

/* ---- Findings ------------------------------------------------------------- */

enum level { OK, NOTE, PROBLEM };

static const char *const level_names[] = { "ok", "note", "problem" };

static struct {
	bool json, colour;
	unsigned findings, problems;
	time_t stale_after;
} report;

static void print_finding(enum level level, const char *subject, const char *text, const char *remedy)
{
	static const char *const colours[] = { "\033[32m", "\033[33m", "\033[1;31m" };
	printf("%s%-7s%s %s: %s\n", report.colour ? colours[level] : "", level_names[level],
			report.colour ? "\033[0m" : "", subject, text);
	if (*remedy)
		printf("        -> %s\n", remedy);
}

static void print_json_finding(enum level level, const char *subject, const char *text,
		const char *remedy)
{
	printf("%s\n\t{\"level\": \"%s\", \"subject\": ", report.findings ? "," : "", level_names[level]);
	json_string(stdout, subject);
	fputs(", \"finding\": ", stdout);
	json_string(stdout, text);
	fputs(", \"remedy\": ", stdout);
	if (*remedy)
		json_string(stdout, remedy);
	else
		fputs("null", stdout);
	putchar('}');
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
	(report.json ? print_json_finding : print_finding)(level, subject, text, remedy);
	report.findings++;
	report.problems += level == PROBLEM;
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

/* A page that nobody else can find, and is gone again at once. */
static int try_backend(const char *backend)
{
	struct unishm_options opt = UNISHM_OPTIONS_INIT;
	struct unishm *seg;
	void *addr;
	opt.backend = backend;
	opt.size = 4096;
	opt.mode = 0600;
	int rc = unishm_open_with(&seg, &opt);
	if (rc < 0)
		return rc;
	rc = unishm_attach(seg, 0, &addr);
	if (rc == 0)
		*(volatile char *)addr = 1;
	int removed = unishm_remove(seg);
	unishm_close(seg);
	return rc < 0 ? rc : removed;
}

static void check_backends(void)
{
	for (const char *const *name = unishm_backends(); *name; name++) {
		if (!is_built(*name))
			continue;
		if (try_backend(*name) == 0)
			find(OK, *name, "", "a segment can be created, attached and removed%s",
					*name == unishm_backends()[0] ? "; it is the default" : "");
		else
			find(PROBLEM, *name, "raise the limit that is named here, or use the other "
					"backend", "%s", unishm_errmsg());
	}
}

/* ---- System V limits ------------------------------------------------------ */

static void check_shmmax(void)
{
	uint64_t most;
	if (!system_number(SYSTEM_SHMMAX, &most))
		return;
	bool small = most < (uint64_t)64 << 20;
	find(small ? NOTE : OK, "sysv", small ? "sysctl -w kernel.shmmax=BYTES" : "",
			"the largest segment is %s bytes (kernel.shmmax)", human_size(most).text);
}

static void check_shmmni(uint64_t segments)
{
	uint64_t most;
	if (!system_number(SYSTEM_SHMMNI, &most))
		return;
	enum level level = fullness(segments, most);
	find(level, "sysv", level == OK ? "" : "remove unused ones (unishm remove --unattached), or "
			"sysctl -w kernel.shmmni=NUMBER",
			"%llu of %llu segments exist (kernel.shmmni)", (unsigned long long)segments,
			(unsigned long long)most);
}

static void check_shmall(uint64_t pages)
{
	uint64_t most, page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct text used = human_size(pages * page);
	if (!system_number(SYSTEM_SHMALL, &most))
		return;
	enum level level = fullness(pages, most);
	if (most > UINT64_MAX / 2 / page)
		find(OK, "sysv", "", "segments hold %s; their sum is not limited (kernel.shmall)",
				used.text);
	else
		find(level, "sysv", level == OK ? "" : "remove unused ones (unishm remove "
				"--unattached), or sysctl -w kernel.shmall=PAGES",
				"segments hold %s of %s (kernel.shmall)", used.text,
				human_size(most * page).text);
}

static void check_sysv_usage(void)
{
	uint64_t segments, pages;
	if (!system_sysv_usage(&segments, &pages)) {
		find(NOTE, "sysv", "", "this system does not tell how full its limits are");
		return;
	}
	check_shmmni(segments);
	check_shmall(pages);
}

static void check_rmid_forced(void)
{
	uint64_t forced;
	if (system_number(SYSTEM_SHM_RMID_FORCED, &forced) && forced)
		find(PROBLEM, "sysv", "sysctl -w kernel.shm_rmid_forced=0",
				"kernel.shm_rmid_forced is %llu: segments vanish as soon as nobody "
				"attaches them", (unsigned long long)forced);
}

/* ---- The shared memory file system ---------------------------------------- */

static void check_space(const char *directory, const struct statvfs *fs)
{
	uint64_t block = fs->f_frsize ? fs->f_frsize : fs->f_bsize;
	uint64_t size = fs->f_blocks * block, room = fs->f_bavail * block;
	const char *more = "remove what nobody needs (unishm list; unishm list --foreign), or "
			"mount -o remount,size=BYTES /dev/shm";
	enum level level = size ? fullness(size - room, size) : NOTE;
	if (size)
		find(level, directory, level == OK ? "" : more, "%s of %s are free (%u%% used)",
				human_size(room).text, human_size(size).text, percent(size - room, size));
	else
		find(NOTE, directory, "mount -o remount,size=BYTES /dev/shm", "its size is not limited");
	if (size && size <= (uint64_t)64 << 20)
		find(PROBLEM, directory, "mount -o remount,size=BYTES /dev/shm; for a container: "
				"docker run --shm-size=BYTES, or an emptyDir of medium Memory",
				"it holds %s only, as in a container by default", human_size(size).text);
	if (fs->f_files && fs->f_ffree * 10 < fs->f_files)
		find(PROBLEM, directory, "remove what nobody needs, or mount -o "
				"remount,nr_inodes=NUMBER /dev/shm", "%llu of %llu inodes are free", (unsigned long long)fs->f_ffree,
				(unsigned long long)fs->f_files);
}

static void check_directory_mode(const char *directory)
{
	struct stat st;
	if (stat(directory, &st) == 0 && (st.st_mode & 07777) != 01777)
		find(st.st_mode & S_ISVTX ? NOTE : PROBLEM, directory, "chmod 1777 /dev/shm",
				"its mode is %04lo, not 1777: other users may be locked out, or "
				"remove what is not theirs", (unsigned long)(st.st_mode & 07777));
	if (access(directory, W_OK | X_OK) != 0)
		find(PROBLEM, directory, "mount it for writing, with mode 1777",
				"this user cannot create anything there: %s", strerror(errno));
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
		find(NOTE, "posix", "", "fs.protected_regular is %llu: plain shm_open with O_CREAT fails "
				"on segments of others; this library copes", (unsigned long long)level);
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
	find(none ? NOTE : OK, "limits", none ? "raise it with ulimit -l, or in limits.conf" : "",
			"this user may lock %s (RLIMIT_MEMLOCK)%s", limit_text(limit.rlim_cur, true).text,
			root ? ", or more as root" : "");
}

static void check_files(void)
{
	struct rlimit limit;
	uint64_t used, most;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		bool few = limit.rlim_cur < 64;
		find(few ? PROBLEM : OK, "limits", few ? "raise it with ulimit -n, or in limits.conf" : "",
				"a process may have %s descriptors (RLIMIT_NOFILE)",
				limit_text(limit.rlim_cur, false).text);
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
				"this process is in another IPC namespace than process 1: it sees other "
				"segments");
	if (system_foreign_namespace("mnt") == 1)
		find(NOTE, "posix", "enter it with nsenter --mount --target PID to see its segments",
				"this process is in another mount namespace than process 1: /dev/shm may "
				"be another");
}

static void check_remove_ipc(void)
{
	char origin[320];
	if (system_remove_ipc(origin, sizeof origin) != 1)
		return;
	bool spared = geteuid() < 1000; /* systemd spares system users */
	find(spared ? NOTE : PROBLEM, "systemd", "set RemoveIPC=no in /etc/systemd/logind.conf, or let a "
			"system user own the segments, or loginctl enable-linger USER",
			"RemoveIPC is on (%s): when a user logs out, logind removes all segments of that "
			"user, of both kinds%s", *origin ? origin : "the default",
			spared ? "; not those of this system user" : "");
}

/* ---- Segments that are left over ------------------------------------------ */

static void report_stale(const struct unishm_status *st, const struct filter *filter)
{
	char remedy[128];
	snprintf(remedy, sizeof remedy, "unishm remove %s, if no program will come back to it",
			segment_spelling(st).text);
	find(passes(st, filter) ? PROBLEM : NOTE, st->backend, remedy,
			"%s (%s, owner %s) may be stale: nobody attaches it, and process %ld, which "
			"created it, is gone", segment_spelling(st).text, human_size(st->size).text,
			user_name(st->owner_user).text, (long)st->creator_process);
}

static void report_orphan(const struct unishm_status *st)
{
	char remedy[128];
	snprintf(remedy, sizeof remedy, "end the processes that unishm show %s names, to free it",
			segment_spelling(st).text);
	find(NOTE, st->backend, remedy, "%s was removed, but is attached %lu times, which keeps its %s",
			segment_spelling(st).text, st->number_attached, human_size(st->size).text);
}

static void check_left_over(void)
{
	struct rows rows = { NULL, 0, 0 };
	struct filter all = { .mine = false };
	struct filter stale = { .older = true, .older_than = report.stale_after };
	if (collect(&rows, &all) != DONE)
		report.problems++; /* stderr says which */
	for (size_t i = 0; i < rows.count; i++) {
		const struct unishm_status *st = &rows.item[i].st;
		if (st->removed)
			report_orphan(st);
		else if (st->number_attached == 0 && process_is_dead(st->creator_process))
			report_stale(st, &stale);
	}
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
	check_left_over();
}

static int run_doctor(int argc, char **argv)
{
	report.colour = stream_has_colour(stdout);
	report.stale_after = 3600;
	for (int c; (c = next_option(argc, argv)) != -1;) {
		if (c == 'j')
			report.json = true;
		else if (c != OPT_OLDER_THAN)
			return option_status;
		else if (parse_age(optarg, "--older-than", &report.stale_after) != DONE)
			return USAGE;
	}
	if (optind < argc)
		return usage_error("doctor takes no argument \"%s\"", argv[optind]);
	if (report.json)
		fputs("{\"findings\": [", stdout);
	examine();
	if (report.json)
		printf("\n], \"problems\": %u}\n", report.problems);
	else if (report.problems)
		printf("\n%u problem%s found.\n", report.problems, report.problems == 1 ? "" : "s");
	else
		puts("\nNo problem found.");
	return report.problems ? FAILED : DONE;
}

static const struct option longs[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "older-than", required_argument, NULL, OPT_OLDER_THAN },
	COMMON_OPTIONS
};

const struct command doctor_command = {
	.name = "doctor",
	.arguments = "[OPTION]...",
	.summary = "look for what is wrong or will hurt on this system",
	.help = "The exit status is 1 if there is a problem.\n"
		"  -j, --json            JSON\n"
		"      --older-than AGE  left-over segments are a problem when unused for so long\n"
		"                        (default: 1h)\n",
	.shorts = ":" SHORT_OPTIONS "j",
	.longs = longs,
	.run = run_doctor,
};
