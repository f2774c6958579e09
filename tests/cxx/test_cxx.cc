/* SPDX-License-Identifier: MIT */
/*
 * The header for C++, one behaviour a function, on one backend: the one that
 * $UNISHM_BACKEND names. It is run by isolated.sh and must leave nothing behind.
 */
#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unishm.hpp"
#include "other.h"

static_assert(!std::is_copy_constructible<unishm::segment>::value, "");
static_assert(!std::is_copy_assignable<unishm::segment>::value, "");
static_assert(!std::is_copy_constructible<unishm::attachment>::value, "");
static_assert(!std::is_copy_assignable<unishm::attachment>::value, "");
static_assert(std::is_nothrow_move_constructible<unishm::segment>::value, "");
static_assert(std::is_nothrow_move_assignable<unishm::segment>::value, "");
static_assert(std::is_nothrow_move_constructible<unishm::attachment>::value, "");
static_assert(std::is_nothrow_move_assignable<unishm::attachment>::value, "");
static_assert(std::is_nothrow_copy_constructible<unishm::error>::value, "");
static_assert(std::is_base_of<std::system_error, unishm::error>::value, "");
static_assert(std::is_same<unishm::segment, unishm_cpp::segment>::value, "");

static int failures;

#define expect(condition)                                                             \
	do {                                                                          \
		if (!(condition)) {                                                   \
			std::cerr << __FILE__ << ':' << __LINE__ << ": not so: "      \
				  << #condition << " (" << unishm::errmsg() << ")\n"; \
			failures++;                                                   \
		}                                                                     \
	} while (0)

/* What @call throws: its code, or success. */
template <class F>
static std::error_code thrown(F call)
{
	try {
		call();
	} catch (const unishm::error &e) {
		expect(std::string(e.what()) == unishm::errmsg() ||
				std::string(e.what()).find("shared memory") != std::string::npos);
		return e.code();
	}
	return std::error_code();
}

static const key_t our_key = unishm_key_from_name("unishm test of the header for C++");
static const int fresh = O_CREAT | O_EXCL;

/* Removes what it holds when the test ends, however that is. */
struct temporary : unishm::segment {
	explicit temporary(std::size_t bytes = 1024, key_t which = our_key,
			mode_t permissions = 0600)
		: unishm::segment(which, fresh, bytes, permissions) {}
	temporary(temporary &&) = default;
	temporary(const temporary &) = delete;
	~temporary()
	{
		std::error_code code;
		remove(code);
	}
};

static bool exists()
{
	std::error_code code;
	const unishm::segment seg(our_key, 0, 0, 0, code);
	return !code;
}

/* ---- Segments ------------------------------------------------------------- */

static void a_segment_has_what_it_was_made_with()
{
	temporary seg(1000, our_key, 0640);
	expect(seg.size() == 1000 && seg.key() == our_key && seg.created() && seg.id() >= 0);
	expect(seg.mode() == 0640);
	expect(seg.status().id() == seg.id());
	expect(std::strcmp(seg.backend(), seg.status().backend()) == 0);
	const unishm::segment other(our_key);
	expect(other.size() == 1000 && !other.created());
	const unishm::segment by_id = unishm::segment::open_id(seg.id());
	expect(by_id.id() == seg.id());
}

static void a_failure_throws_code_and_sentence()
{
	bool caught = false;
	try {
		const unishm::segment seg(our_key);
	} catch (const std::system_error &e) {
		expect(e.code() == std::errc::no_such_file_or_directory);
		expect(std::string(e.what()) == unishm::errmsg());
		expect(std::string(e.what()).find("cannot open") == 0);
		caught = true;
	}
	expect(caught);
	const temporary seg;
	expect(thrown([] { unishm::segment(our_key, fresh, 10); }) == std::errc::file_exists);
	expect(thrown([] { unishm::segment::open_id(-1); }) == std::errc::invalid_argument);
}

static void a_failure_without_exceptions_sets_the_code()
{
	std::error_code code;
	const unishm::segment none(our_key, 0, 0, 0, code);
	expect(code == std::errc::no_such_file_or_directory && !none);
	expect(none.native_handle() == nullptr && none.size() == 0 && none.id() == -1);
	const unishm::segment by_id = unishm::segment::open_id(-1, code);
	expect(code == std::errc::invalid_argument && !by_id);
	unishm::segment seg(unishm::options(our_key, fresh, 64), code);
	expect(!code && seg);
	seg.remove(code);
	expect(!code);
	const unishm::attachment mem = seg.attach_at_first_available(0, code);
	expect(code == std::errc::identifier_removed && !mem);
}

static void no_segment_fails_cleanly()
{
	unishm::segment seg;
	std::error_code code;
	expect(!seg);
	expect(thrown([&] { seg.remove(); }) == std::errc::invalid_argument);
	expect(thrown([&] { seg.status(); }) == std::errc::invalid_argument);
	expect(thrown([&] { seg.attach_at_first_available(); }) == std::errc::invalid_argument);
	seg.lock(code);
	expect(code == std::errc::invalid_argument);
	unishm::attachment mem;
	expect(thrown([&] { mem.detach(); }) == std::errc::invalid_argument);
	seg.close();
}

static void segments_move()
{
	temporary first;
	const int id = first.id();
	unishm::segment second(std::move(first));
	expect(!first && second.id() == id);
	unishm::segment third;
	third = std::move(second);
	expect(!second && third.id() == id);
	swap(second, third);
	expect(second.id() == id && !third);
	second.remove();
}

static void options_choose_backend_and_id()
{
	temporary seg;
	unishm::options by_name(our_key);
	by_name.backend = seg.backend();
	expect(unishm::segment(by_name).id() == seg.id());
	by_name.backend = "none such";
	expect(thrown([&] { unishm::segment s(by_name); }) == std::errc::invalid_argument);
}

static void changes_show_in_the_status()
{
	temporary seg;
	seg.chmod(0400);
	expect(seg.mode() == 0400);
	seg.chown(static_cast<uid_t>(-1), static_cast<gid_t>(-1));
	expect(seg.owner_user() == geteuid() && seg.owner_group() == getegid());
	expect(seg.creator_user() == geteuid() && seg.creator_group() == getegid());
	expect(seg.creator_process() == getpid());
	std::error_code code;
	seg.lock(code);
	if (!code) {
		expect(seg.status().locked());
		seg.unlock();
		expect(!seg.status().locked());
	}
	seg.chmod(07777, code);
	expect(code == std::errc::invalid_argument);
}

/* ---- Attachments ----------------------------------------------------------- */

static void an_attachment_ends_with_its_object()
{
	temporary seg;
	{
		const unishm::attachment one = seg.attach_at_first_available();
		const unishm::attachment two = seg.attach_at_first_available(UNISHM_RDONLY);
		expect(seg.number_attached() == 2);
		expect(one.data() != two.data() && one.size() == 1024);
		*one.as<char>() = 'x';
		expect(*two.as<const char>() == 'x');
		expect(one.writable() && !two.writable());
	}
	expect(seg.number_attached() == 0);
	expect(seg.last_op_process() == getpid());
}

static void attachments_move()
{
	temporary seg;
	unishm::attachment one = seg.attach_at_first_available();
	void *const addr = one.data();
	unishm::attachment two(std::move(one));
	expect(!one && one.size() == 0 && two.data() == addr);
	one = std::move(two);
	expect(!two && one.data() == addr && seg.number_attached() == 1);
	two = seg.attach_at_first_available();
	expect(seg.number_attached() == 2);
	two = std::move(one); /* what two had is detached */
	expect(seg.number_attached() == 1 && two.data() == addr);
	seg.detach(two);
	expect(!two && seg.number_attached() == 0);
	expect(thrown([&] { two.detach(); }) == std::errc::invalid_argument);
}

static void an_empty_attachment_detaches_no_other()
{
	temporary seg;
	const unishm::attachment mem = seg.attach_at_first_available();
	unishm::attachment none;
	std::error_code code;
	none.detach(code);
	expect(code && seg.number_attached() == 1);
}

static void an_attachment_outlives_its_segment_object()
{
	unishm::attachment mem;
	{
		unishm::segment seg(our_key, fresh, 100);
		mem = seg.attach_at_first_available();
		seg.close();
		expect(!seg);
	}
	*mem.as<char>() = 'y';
	unishm::segment again(our_key);
	expect(again.number_attached() == 1);
	expect(*again.attach_at_first_available(UNISHM_RDONLY).as<const char>() == 'y');
	again.remove();
	mem.detach();
	expect(!exists());
}

static void attach_at_takes_that_address()
{
	temporary seg;
	const std::size_t room = 1 << 20;
	void *area = mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(thrown([&] { seg.attach_at(area); }) == std::errc::invalid_argument);
	munmap(area, room);
	const unishm::attachment mem = seg.attach_at(static_cast<char *>(area) + 1, UNISHM_RND);
	expect(mem.data() == area);
	std::error_code code;
	const unishm::attachment two = seg.attach_at(area, 0, code);
	expect(code == std::errc::invalid_argument && !two);
	expect(seg.number_attached() == 1);
}

static void a_released_attachment_is_left_alone()
{
	temporary seg;
	void *addr;
	{
		unishm::attachment mem = seg.attach_at_first_available();
		addr = mem.release();
		expect(!mem);
	}
	expect(seg.number_attached() == 1);
	expect(unishm_detach(seg.native_handle(), addr) == 0);
}

/* ---- Memory ----------------------------------------------------------------- */

struct pair_of_words {
	std::uint64_t one, two;
};

static void as_checks_size_and_alignment()
{
	temporary seg(20);
	const unishm::attachment mem = seg.attach_at_first_available();
	std::error_code code;
	mem.as<pair_of_words>()->two = 5;
	expect(mem.as<std::uint64_t>(8)[0] == 5);
	expect(mem.as<char>(19) == mem.as<char>() + 19);
	expect(thrown([&] { mem.as<char>(20); }) == std::errc::invalid_argument);
	expect(thrown([&] { mem.as<std::uint32_t>(2); }) == std::errc::invalid_argument);
	expect(thrown([&] { mem.as<std::uint64_t>(0, 3); }) == std::errc::invalid_argument);
	expect(mem.as<std::uint32_t>(0, 5, code) && !code);
	expect(!mem.as<std::uint32_t>(0, 6, code) && code == std::errc::invalid_argument);
	expect(!mem.as<char>(0, static_cast<std::size_t>(-1), code) && code);
	expect(!mem.as<char>(static_cast<std::size_t>(-1), 1, code) && code);
	expect(!mem.as<pair_of_words>(8, 1, code) && code);
	expect(!unishm::attachment().as<char>(code) && code == std::errc::invalid_argument);
}

static void what_is_read_only_is_had_as_const()
{
	temporary seg;
	const unishm::attachment mem = seg.attach_at_first_available(UNISHM_RDONLY);
	std::error_code code;
	expect(*mem.as<const int>() == 0);
	expect(thrown([&] { mem.as<int>(); }) == std::errc::permission_denied);
	expect(!mem.as<int>(code) && code == std::errc::permission_denied);
}

static void spans_cover_whole_objects()
{
#if defined(__cpp_lib_span)
	temporary seg(23);
	const unishm::attachment mem = seg.attach_at_first_available();
	expect(mem.bytes().size() == 23 && mem.span<std::uint32_t>().size() == 5);
	mem.span<std::uint32_t>()[4] = 9;
	const unishm::attachment view = seg.attach_at_first_available(UNISHM_RDONLY);
	expect(view.span<const std::uint32_t>()[4] == 9 && view.const_bytes().size() == 23);
	expect(thrown([&] { view.bytes(); }) == std::errc::permission_denied);
#endif
}

static void atomics_are_shared_by_processes()
{
	temporary seg;
	const unishm::attachment mem = seg.attach_at_first_available();
	std::atomic<int> *count = new (mem.as<std::atomic<int>>()) std::atomic<int>(1);
	const pid_t child = fork();
	if (child == 0) {
		const unsigned long attached = seg.number_attached();
		*count += attached == 2 ? 1 : 100;
		_exit(0);
	}
	waitpid(child, nullptr, 0);
	expect(*count == 2);
	expect(seg.number_attached() == 1);
}

/* ---- Init ------------------------------------------------------------------- */

static void fill_plainly(void *addr, std::size_t size)
{
	std::memset(addr, 'p', size);
}

static char first_byte()
{
	unishm::segment seg(our_key);
	const char byte = *seg.attach_at_first_available(UNISHM_RDONLY).as<const char>();
	seg.remove();
	return byte;
}

static void any_callable_fills_a_segment()
{
	int calls = 0;
	std::function<int(unishm::memory)> as_function = [&](const unishm::memory &mem) {
		*mem.as<char>() = 'f';
		calls++;
		return 0;
	};
	unishm::segment(our_key, fresh, 10, 0600, fill_plainly);
	expect(first_byte() == 'p');
	unishm::segment(unishm::options(our_key, fresh, 10), as_function);
	expect(first_byte() == 'f' && calls == 1);
	unishm::segment(our_key, fresh, 10, 0600, [&](void *addr, std::size_t size) {
		calls += static_cast<int>(size);
		*static_cast<char *>(addr) = 'l';
	});
	unishm::segment(our_key, O_CREAT, 10, 0600, as_function); /* exists: not called */
	expect(first_byte() == 'l' && calls == 11);
}

static void a_code_of_init_is_the_answer()
{
	auto refuse = [](void *, std::size_t) { return -EDOM; };
	std::error_code code;
	expect(thrown([&] { unishm::segment(our_key, fresh, 10, 0600, refuse); }) ==
			std::errc::argument_out_of_domain);
	unishm::segment seg(our_key, fresh, 10, 0600, refuse, code);
	expect(code == std::errc::argument_out_of_domain && !seg && !exists());
}

static void an_exception_of_init_comes_out_and_leaves_nothing()
{
	struct mine : std::runtime_error {
		mine() : std::runtime_error("mine") {}
	};
	auto fail = [](const unishm::memory &mem) {
		std::memset(mem.data(), 1, mem.size());
		throw mine();
	};
	std::error_code code;
	int caught = 0;
	for (int i = 0; i < 4; i++) {
		try {
			if (i % 2)
				unishm::segment(our_key, fresh, 10, 0600, fail, code);
			else
				unishm::segment(unishm::options(our_key, fresh, 10), fail);
		} catch (const mine &e) {
			caught += e.what() == std::string("mine");
		}
		expect(!exists());
	}
	expect(caught == 4);
	const temporary seg; /* the key is free */
}

static void init_may_use_the_library()
{
	const key_t other = unishm::key_from_name("unishm test of C++, nested");
	unishm::segment outer(our_key, fresh, 10, 0600, [&](void *, std::size_t) {
		const temporary inner(10, other);
		expect(inner.created());
	});
	outer.remove();
}

/* ---- Status and the rest ------------------------------------------------------ */

static void times_are_those_of_chrono()
{
	using std::chrono::system_clock;
	const system_clock::time_point before = system_clock::now() - std::chrono::seconds(2);
	temporary seg;
	expect(seg.last_attach_time() == unishm::status::never());
	expect(seg.last_detach_time() == unishm::status::never());
	expect(seg.last_change_time() > before);
	seg.attach_at_first_available().detach();
	const unishm::status st = seg.status();
	expect(st.last_attach_time() > before && st.last_detach_time() > before);
	expect(st.last_attach_time() < system_clock::now() + std::chrono::seconds(2));
}

static void a_status_is_written_as_by_print()
{
	temporary seg;
	std::ostringstream out;
	out << seg.status();
	expect(out.str().find("size: 1024\nnumber_attached: 0\n") == 0);
	expect(out.str().find("mode: rw-------\n") != std::string::npos);
	std::ostringstream broken;
	broken.setstate(std::ios_base::badbit);
	broken << seg.status();
	expect(broken.str().empty());
}

static void a_list_has_the_segment()
{
	temporary seg;
	const std::vector<unishm::status> all = unishm::list();
	expect(std::any_of(all.begin(), all.end(),
			[&](const unishm::status &st) { return st.id() == seg.id(); }));
	expect(thrown([] { unishm::list("none such"); }) == std::errc::invalid_argument);
}

static void the_library_tells_of_itself()
{
	expect(unishm::version() == std::string(UNISHM_VERSION));
	const std::vector<std::string> names = unishm::backends();
	expect(!names.empty());
	expect(unishm::key_from_name("a") == unishm_key_from_name("a"));
	expect(unishm::key_from_path("/", 1) == unishm_key_from_path("/", 1));
	expect(thrown([] { unishm::key_from_path("/none/such", 1); }));
	expect(unishm::sweep(nullptr, UNISHM_SWEEP_DRY).empty());
}

static void other_files_share_the_inline_code()
{
	temporary seg;
	expect(other_number_attached(seg) == 0);
}

/* ---- Threads ------------------------------------------------------------------ */

static void *ended_in_init(void *)
{
	unishm::segment seg(our_key, fresh, 10, 0600,
			[](void *, std::size_t) { pthread_exit(nullptr); });
	return &failures;
}

/* In a process of its own, whose end cleans up what the thread left unfinished. */
static void a_thread_can_end_in_init()
{
#if defined(__GLIBCXX__)
	int status = 1;
	const pid_t child = fork();
	if (child == 0) {
		pthread_t thread;
		void *result = nullptr;
		const bool ended = pthread_create(&thread, nullptr, ended_in_init, nullptr) == 0 &&
				pthread_join(thread, &result) == 0 && result == nullptr;
		_exit(!ended);
	}
	waitpid(child, &status, 0);
	expect(status == 0);
	const temporary seg; /* the key is free */
#endif
}

static void threads_share_a_segment()
{
	temporary seg;
	std::vector<std::thread> threads;
	for (int i = 0; i < 4; i++)
		threads.emplace_back([&seg] {
			for (int j = 0; j < 100; j++)
				seg.attach_at_first_available().detach();
		});
	for (std::thread &thread : threads)
		thread.join();
	expect(seg.number_attached() == 0);
}

#define TEST(name) { #name, name }

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)();
	} tests[] = {
		TEST(a_segment_has_what_it_was_made_with),
		TEST(a_failure_throws_code_and_sentence),
		TEST(a_failure_without_exceptions_sets_the_code),
		TEST(no_segment_fails_cleanly),
		TEST(segments_move),
		TEST(options_choose_backend_and_id),
		TEST(changes_show_in_the_status),
		TEST(an_attachment_ends_with_its_object),
		TEST(attachments_move),
		TEST(an_empty_attachment_detaches_no_other),
		TEST(an_attachment_outlives_its_segment_object),
		TEST(attach_at_takes_that_address),
		TEST(a_released_attachment_is_left_alone),
		TEST(as_checks_size_and_alignment),
		TEST(what_is_read_only_is_had_as_const),
		TEST(spans_cover_whole_objects),
		TEST(atomics_are_shared_by_processes),
		TEST(any_callable_fills_a_segment),
		TEST(a_code_of_init_is_the_answer),
		TEST(an_exception_of_init_comes_out_and_leaves_nothing),
		TEST(init_may_use_the_library),
		TEST(times_are_those_of_chrono),
		TEST(a_status_is_written_as_by_print),
		TEST(a_list_has_the_segment),
		TEST(the_library_tells_of_itself),
		TEST(other_files_share_the_inline_code),
		TEST(a_thread_can_end_in_init),
		TEST(threads_share_a_segment),
	};
	std::cout << "1.." << sizeof tests / sizeof *tests << '\n';
	int number = 0, failed = 0;
	for (const auto &test : tests) {
		if (argc > 1 && std::strcmp(argv[1], test.name) != 0)
			continue;
		failures = 0;
		try {
			test.run();
			expect(!exists());
		} catch (const std::exception &e) {
			std::cerr << test.name << ": " << e.what() << '\n';
			failures++;
		}
		std::cout << (failures ? "not ok " : "ok ") << ++number << " - " << test.name
			  << '\n'
			  << std::flush;
		failed += failures != 0;
	}
	return failed != 0;
}
