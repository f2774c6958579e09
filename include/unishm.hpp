/* SPDX-License-Identifier: MIT */
/*
 * unishm for C++11 and later: one API over System V and POSIX shared memory.
 *
 * All of it is inline, over the calls of unishm.h, whose rules hold here as well.
 * unishm-cpp(3) is the reference.
 *
 *     unishm::segment seg(10, O_CREAT | O_EXCL, 1024, 0600);
 *     unishm::attachment mem = seg.attach_at_first_available();
 *     mem.as<std::uint32_t>()[0] = 7;
 *     std::cout << seg.status();
 *     seg.remove();
 *
 * - A call that fails throws unishm::error, a std::system_error whose what() is the
 *   sentence of unishm_errmsg(). Each has a second form that takes a std::error_code
 *   as its last argument and throws nothing; unishm::errmsg() then has the sentence.
 * - unishm is a class here and no namespace, because C has a struct of that name, and
 *   C++ allows no namespace beside it. What it names lives in the namespace
 *   unishm_cpp, for those who want a using-directive or a forward declaration.
 */
#ifndef UNISHM_HPP
#define UNISHM_HPP

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <ostream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <fcntl.h>

#if defined(__has_include) && __cplusplus >= 202002L
#if __has_include(<span>)
#include <span>
#endif
#endif

/* gcc says of a function beside a struct of its name that it hides a constructor. */
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
#include <unishm.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace unishm_cpp {

/* ---- Errors ------------------------------------------------------------- */

/* The code compares with std::errc; what() is the sentence alone. */
class error : public std::system_error {
public:
	error(std::error_code code, const std::string &sentence)
		: std::system_error(code), sentence_(sentence) {}
	const char *what() const noexcept override { return sentence_.what(); }

private:
	std::runtime_error sentence_; /* unlike a string it is copied without failing */
};

namespace detail {

/* said so, since C has a function of that name as well */
typedef struct ::unishm_status c_status;

inline std::error_code code_of(int rc) noexcept
{
	return rc < 0 ? std::error_code(-rc, std::generic_category()) : std::error_code();
}

/* Throw if the call that returned @rc failed. */
inline int check(int rc)
{
	if (rc < 0)
		throw error(code_of(rc), ::unishm_errmsg());
	return rc;
}

/* The handle that a segment and its attachments share: the last of them closes it. */
struct handle {
	handle() noexcept : c(nullptr) {}
	handle(const handle &) = delete;
	handle &operator=(const handle &) = delete;
	~handle() { ::unishm_close(c); }
	::unishm *c;
};

} // namespace detail

/* ---- Memory ------------------------------------------------------------- */

/* Shared bytes, as an attachment has them and an init callable gets them. Owns
 * nothing: do not use it longer than the attachment. */
class memory {
public:
	memory() noexcept : data_(nullptr), size_(0), writable_(false) {}
	memory(void *data, std::size_t size, bool writable) noexcept
		: data_(data), size_(size), writable_(writable) {}

	/* The first byte; nullptr when nothing is attached. Through an attachment
	 * that is read-only, a write raises SIGSEGV. */
	void *data() const noexcept { return data_; }
	std::size_t size() const noexcept { return size_; }
	bool writable() const noexcept { return writable_; }

	/*
	 * The address of @count objects of type T from byte @offset on. They have to
	 * lie inside, and the address has to be aligned for T: else EINVAL. What is
	 * read-only is only had as a const T: else EACCES. No constructor is called;
	 * other processes have to agree on T.
	 */
	template <class T>
	T *as(std::size_t offset = 0, std::size_t count = 1) const
	{
		const char *why = nullptr;
		const int rc = examine<T>(offset, count, &why);
		if (rc < 0)
			throw error(detail::code_of(rc),
					std::string("cannot use shared memory so: ") + why);
		return at<T>(offset);
	}

	template <class T>
	T *as(std::size_t offset, std::size_t count, std::error_code &code) const noexcept
	{
		const char *why = nullptr;
		const int rc = examine<T>(offset, count, &why);
		code = detail::code_of(rc);
		return rc < 0 ? nullptr : at<T>(offset);
	}

	template <class T>
	T *as(std::error_code &code) const noexcept
	{
		return as<T>(0, 1, code);
	}

#if defined(__cpp_lib_span)
	/* As many whole T as there is room for; checked as by as(). */
	template <class T>
	std::span<T> span() const
	{
		const std::size_t count = size_ / sizeof(T);
		return std::span<T>(as<T>(0, count), count);
	}
	std::span<std::byte> bytes() const { return span<std::byte>(); }
	std::span<const std::byte> const_bytes() const { return span<const std::byte>(); }
#endif

private:
	template <class T>
	T *at(std::size_t offset) const noexcept
	{
		return static_cast<T *>(static_cast<void *>(static_cast<char *>(data_) + offset));
	}

	template <class T>
	int examine(std::size_t offset, std::size_t count, const char **why) const noexcept
	{
		static_assert(std::is_object<T>::value && !std::is_pointer<T>::value,
				"an address means nothing in another process");
		static_assert(!std::is_polymorphic<T>::value,
				"a table of virtual functions means nothing in another process");
		static_assert(std::is_trivially_destructible<T>::value,
				"no process would call the destructor");
		if (!data_)
			return *why = "nothing is attached", -EINVAL;
		if (offset > size_ || count > (size_ - offset) / sizeof(T))
			return *why = "the objects reach beyond its end", -EINVAL;
		if ((reinterpret_cast<std::uintptr_t>(data_) + offset) % alignof(T) != 0)
			return *why = "the address is not aligned for that type", -EINVAL;
		if (!writable_ && !std::is_const<T>::value)
			return *why = "it is read-only; ask for a const type", -EACCES;
		return 0;
	}

	void *data_;
	std::size_t size_;
	bool writable_;
};

/* ---- Callables ---------------------------------------------------------- */

namespace detail {

template <class F>
auto call_init(F &f, const memory &m, int) -> decltype(f(m))
{
	return f(m);
}

template <class F>
auto call_init(F &f, const memory &m, long) -> decltype(f(m.data(), m.size()))
{
	return f(m.data(), m.size());
}

/*
 * Carries a callable through C as a pointer, and an exception of it back. None may
 * unwind frames of C; what ends a thread (glibc's forced unwinding) has to.
 */
template <class F>
class carrier {
public:
	explicit carrier(F &f) noexcept : f_(f) {}

	static int init(void *addr, std::size_t size, void *arg)
	{
		carrier &self = *static_cast<carrier *>(arg);
		typedef decltype(call_init(self.f_, std::declval<const memory &>(), 0)) result;
		static_assert(std::is_void<result>::value || std::is_same<result, int>::value,
				"init returns nothing, or 0 or a negative errno value");
		try {
			return self.run(memory(addr, size, true), std::is_void<result>());
		} catch (...) {
			return self.keep();
		}
	}

	static int visit(const c_status *st, void *arg)
	{
		carrier &self = *static_cast<carrier *>(arg);
		try {
			self.f_(*st);
			return 0;
		} catch (...) {
			return self.keep();
		}
	}

	/* After the call: throw what the callable threw. */
	void deliver() const
	{
		if (thrown_)
			std::rethrow_exception(thrown_);
	}

private:
	/* Within a handler. What ends a thread is no exception of C++: there is none then. */
	int keep()
	{
		thrown_ = std::current_exception();
		if (!thrown_)
			throw;
		return -ECANCELED;
	}

	int run(const memory &m, std::true_type)
	{
		call_init(f_, m, 0);
		return 0;
	}
	int run(const memory &m, std::false_type) { return call_init(f_, m, 0); }

	F &f_;
	std::exception_ptr thrown_;
};

} // namespace detail

/* ---- Status ------------------------------------------------------------- */

/* struct unishm_status with the times of std::chrono. */
class status {
public:
	typedef std::chrono::time_point<std::chrono::system_clock, std::chrono::seconds> time_point;

	/* The time of what has not happened yet. */
	static constexpr time_point never() noexcept { return time_point(); }

	status() noexcept : c_() {}
	explicit status(const detail::c_status &c) noexcept : c_(c) {}

	const char *backend() const noexcept { return c_.backend; }
	int id() const noexcept { return c_.id; }
	key_t key() const noexcept { return c_.key; }
	std::size_t size() const noexcept { return c_.size; }
	mode_t mode() const noexcept { return c_.mode; }
	unsigned long number_attached() const noexcept { return c_.number_attached; }
	pid_t creator_process() const noexcept { return c_.creator_process; }
	pid_t last_op_process() const noexcept { return c_.last_op_process; }
	time_point last_attach_time() const noexcept { return time_of(c_.last_attach_time); }
	time_point last_detach_time() const noexcept { return time_of(c_.last_detach_time); }
	time_point last_change_time() const noexcept { return time_of(c_.last_change_time); }
	uid_t creator_user() const noexcept { return c_.creator_user; }
	gid_t creator_group() const noexcept { return c_.creator_group; }
	uid_t owner_user() const noexcept { return c_.owner_user; }
	gid_t owner_group() const noexcept { return c_.owner_group; }
	bool locked() const noexcept { return c_.locked; }
	bool removed() const noexcept { return c_.removed; }
	unsigned emulated() const noexcept { return c_.emulated; }
	unsigned inexact() const noexcept { return c_.inexact; }

	const detail::c_status &native() const noexcept { return c_; }

private:
	static time_point time_of(std::int64_t seconds) noexcept
	{
		return time_point(std::chrono::duration_cast<time_point::duration>(
				std::chrono::duration<std::int64_t>(seconds)));
	}

	detail::c_status c_;
};

/* The lines that unishm_print() writes. */
inline std::ostream &operator<<(std::ostream &out, const status &st)
{
	char *text = nullptr;
	std::size_t length = 0;
	FILE *file = ::open_memstream(&text, &length);
	const bool printed = file && ::unishm_print(file, &st.native()) == 0;
	const bool closed = file && std::fclose(file) == 0;
	const std::unique_ptr<char, void (*)(void *)> owner(text, std::free);
	if (printed && closed)
		out.write(text, static_cast<std::streamsize>(length));
	else
		out.setstate(std::ios_base::failbit);
	return out;
}

/* ---- Attachments -------------------------------------------------------- */

/*
 * One attachment, which ends with this object. The handle by which it was made stays
 * open as long, also when the segment object is gone.
 */
class attachment : public memory {
public:
	attachment() noexcept {}
	attachment(const attachment &) = delete;
	attachment &operator=(const attachment &) = delete;

	attachment(attachment &&other) noexcept : memory(other), handle_(std::move(other.handle_))
	{
		other.forget();
	}

	attachment &operator=(attachment &&other) noexcept
	{
		attachment taken(std::move(other));
		swap(taken);
		return *this;
	}

	~attachment()
	{
		if (handle_)
			::unishm_detach(handle_->c, data());
	}

	void swap(attachment &other) noexcept
	{
		std::swap(static_cast<memory &>(*this), static_cast<memory &>(other));
		handle_.swap(other.handle_);
	}

	/* Detach now. What failed is attached still. */
	void detach()
	{
		detail::check(end());
	}
	void detach(std::error_code &code) noexcept { code = detail::code_of(end()); }

	/* Give up the attachment without a detach; it ends with the last segment
	 * or attachment object of its handle. For what UNISHM_REMAP replaced. */
	void *release() noexcept
	{
		void *was = data();
		forget();
		return was;
	}

	explicit operator bool() const noexcept { return data() != nullptr; }

private:
	friend class segment;
	attachment(std::shared_ptr<detail::handle> handle, void *addr, int flags) noexcept
		: memory(addr, ::unishm_size(handle->c), !(flags & UNISHM_RDONLY)),
		  handle_(std::move(handle)) {}

	int end() noexcept
	{
		/* with NULL the C call means the only one of its handle, which is no
		 * attachment of this object */
		const int rc = ::unishm_detach(handle_ ? handle_->c : nullptr, data());
		if (rc == 0)
			forget();
		return rc;
	}

	void forget() noexcept
	{
		static_cast<memory &>(*this) = memory();
		handle_.reset();
	}

	std::shared_ptr<detail::handle> handle_;
};

inline void swap(attachment &a, attachment &b) noexcept
{
	a.swap(b);
}

/* ---- Segments ----------------------------------------------------------- */

/* All choices: the members of struct unishm_options. */
struct options : ::unishm_options {
	options() noexcept : ::unishm_options()
	{
		struct_size = sizeof(::unishm_options);
		mode = 0600;
	}
	explicit options(key_t which, int open_flags = 0, std::size_t bytes = 0,
			mode_t permissions = 0600) noexcept
		: ::unishm_options()
	{
		struct_size = sizeof(::unishm_options);
		key = which;
		oflag = open_flags;
		size = bytes;
		mode = permissions;
	}
};

/*
 * A handle to one segment. Moves, and does not copy. Its end closes the handle, once
 * its attachments are gone as well; the segment lives on until it is removed.
 */
class segment {
public:
	/* No segment: every call fails with EINVAL. */
	segment() noexcept {}
	segment(segment &&) noexcept = default;
	segment &operator=(segment &&) noexcept = default;
	segment(const segment &) = delete;
	segment &operator=(const segment &) = delete;

	/* As unishm_open(). */
	explicit segment(key_t key, int oflag = 0, std::size_t size = 0, mode_t mode = 0600)
		: handle_(std::make_shared<detail::handle>())
	{
		detail::check(::unishm_open(&handle_->c, key, oflag, size, mode));
	}
	segment(key_t key, int oflag, std::size_t size, mode_t mode, std::error_code &code) noexcept
	{
		if (allocate(code))
			settle(::unishm_open(&handle_->c, key, oflag, size, mode), code);
	}

	/* As unishm_open_with(). */
	explicit segment(const options &opt) : handle_(std::make_shared<detail::handle>())
	{
		detail::check(::unishm_open_with(&handle_->c, &opt));
	}
	segment(const options &opt, std::error_code &code) noexcept
	{
		if (allocate(code))
			settle(::unishm_open_with(&handle_->c, &opt), code);
	}

	/*
	 * The same, with a callable that fills a new segment before anyone else can see
	 * it: init(void *addr, std::size_t size) or init(unishm::memory), which returns
	 * nothing, or 0 or a negative errno value. If it throws, nothing is created, and
	 * the exception comes out of the constructor, also with @code.
	 */
	template <class Init>
	segment(const options &opt, Init &&init) : handle_(std::make_shared<detail::handle>())
	{
		detail::check(open_filled(opt, init));
	}
	template <class Init>
	segment(const options &opt, Init &&init, std::error_code &code)
	{
		if (allocate(code))
			settle(open_filled(opt, init), code);
	}
	template <class Init>
	segment(key_t key, int oflag, std::size_t size, mode_t mode, Init &&init)
		: segment(options(key, oflag, size, mode), std::forward<Init>(init)) {}
	template <class Init>
	segment(key_t key, int oflag, std::size_t size, mode_t mode, Init &&init,
			std::error_code &code)
		: segment(options(key, oflag, size, mode), std::forward<Init>(init), code) {}

	/* As unishm_open_id(). */
	static segment open_id(int id)
	{
		segment seg;
		seg.handle_ = std::make_shared<detail::handle>();
		detail::check(::unishm_open_id(&seg.handle_->c, id));
		return seg;
	}
	static segment open_id(int id, std::error_code &code) noexcept
	{
		segment seg;
		if (seg.allocate(code))
			seg.settle(::unishm_open_id(&seg.handle_->c, id), code);
		return seg;
	}

	explicit operator bool() const noexcept { return handle_ != nullptr; }
	::unishm *native_handle() const noexcept { return handle_ ? handle_->c : nullptr; }
	void close() noexcept { handle_.reset(); }
	void swap(segment &other) noexcept { handle_.swap(other.handle_); }

	/* -- Attaching: @flags are UNISHM_RDONLY and the others of unishm_attach() -- */

	attachment attach_at_first_available(int flags = 0)
	{
		void *addr = nullptr;
		detail::check(::unishm_attach(native_handle(), flags, &addr));
		return attachment(handle_, addr, flags);
	}
	attachment attach_at_first_available(int flags, std::error_code &code) noexcept
	{
		void *addr = nullptr;
		const int rc = ::unishm_attach(native_handle(), flags, &addr);
		code = detail::code_of(rc);
		return rc < 0 ? attachment() : attachment(handle_, addr, flags);
	}

	attachment attach_at(void *where, int flags = 0)
	{
		void *addr = nullptr;
		detail::check(::unishm_attach_at(native_handle(), where, flags, &addr));
		return attachment(handle_, addr, flags);
	}
	attachment attach_at(void *where, int flags, std::error_code &code) noexcept
	{
		void *addr = nullptr;
		const int rc = ::unishm_attach_at(native_handle(), where, flags, &addr);
		code = detail::code_of(rc);
		return rc < 0 ? attachment() : attachment(handle_, addr, flags);
	}

	/* The same as what.detach(). */
	void detach(attachment &what) { what.detach(); }
	void detach(attachment &what, std::error_code &code) noexcept { what.detach(code); }

	/* -- Changing and removing -- */

	void remove() { detail::check(::unishm_remove(native_handle())); }
	void remove(std::error_code &code) noexcept
	{
		code = detail::code_of(::unishm_remove(native_handle()));
	}

	void lock() { detail::check(::unishm_lock(native_handle())); }
	void lock(std::error_code &code) noexcept
	{
		code = detail::code_of(::unishm_lock(native_handle()));
	}

	void unlock() { detail::check(::unishm_unlock(native_handle())); }
	void unlock(std::error_code &code) noexcept
	{
		code = detail::code_of(::unishm_unlock(native_handle()));
	}

	void chmod(mode_t mode) { detail::check(::unishm_chmod(native_handle(), mode)); }
	void chmod(mode_t mode, std::error_code &code) noexcept
	{
		code = detail::code_of(::unishm_chmod(native_handle(), mode));
	}

	void chown(uid_t user, gid_t group)
	{
		detail::check(::unishm_chown(native_handle(), user, group));
	}
	void chown(uid_t user, gid_t group, std::error_code &code) noexcept
	{
		code = detail::code_of(::unishm_chown(native_handle(), user, group));
	}

	/* -- Facts that never change, and cost no system call -- */

	std::size_t size() const noexcept { return ::unishm_size(native_handle()); }
	key_t key() const noexcept { return ::unishm_key(native_handle()); }
	int id() const noexcept { return ::unishm_id(native_handle()); }
	const char *backend() const noexcept { return ::unishm_backend(native_handle()); }
	bool created() const noexcept { return ::unishm_created(native_handle()); }

	/* -- Status: status() asks once for all of it, each of the others once -- */

	unishm_cpp::status status() const
	{
		detail::c_status st;
		detail::check(::unishm_status(native_handle(), &st));
		return unishm_cpp::status(st);
	}
	unishm_cpp::status status(std::error_code &code) const noexcept
	{
		detail::c_status st;
		const int rc = ::unishm_status(native_handle(), &st);
		code = detail::code_of(rc);
		return rc < 0 ? unishm_cpp::status() : unishm_cpp::status(st);
	}

	typedef unishm_cpp::status::time_point time_point;
	unsigned long number_attached() const { return status().number_attached(); }
	pid_t creator_process() const { return status().creator_process(); }
	pid_t last_op_process() const { return status().last_op_process(); }
	time_point last_attach_time() const { return status().last_attach_time(); }
	time_point last_detach_time() const { return status().last_detach_time(); }
	time_point last_change_time() const { return status().last_change_time(); }
	uid_t creator_user() const { return status().creator_user(); }
	gid_t creator_group() const { return status().creator_group(); }
	uid_t owner_user() const { return status().owner_user(); }
	gid_t owner_group() const { return status().owner_group(); }
	mode_t mode() const { return status().mode(); }

private:
	/* Before anything is opened, so that memory cannot run out after it. */
	bool allocate(std::error_code &code) noexcept
	{
		try {
			handle_ = std::make_shared<detail::handle>();
		} catch (const std::bad_alloc &) {
			code = detail::code_of(-ENOMEM);
		}
		return handle_ != nullptr;
	}

	void settle(int rc, std::error_code &code) noexcept
	{
		code = detail::code_of(rc);
		if (rc < 0)
			handle_.reset();
	}

	template <class Init>
	int open_filled(const options &opt, Init &init)
	{
		detail::carrier<Init> carrier(init);
		options with = opt;
		with.init = detail::carrier<Init>::init;
		with.arg = &carrier;
		const int rc = ::unishm_open_with(&handle_->c, &with);
		carrier.deliver();
		return rc;
	}

	std::shared_ptr<detail::handle> handle_;
};

inline void swap(segment &a, segment &b) noexcept
{
	a.swap(b);
}

/* ---- Keys and the library ----------------------------------------------- */

inline key_t key_from_path(const std::string &path, int project)
{
	const key_t key = ::unishm_key_from_path(path.c_str(), project);
	/* the code is not told apart in C; the sentence is */
	if (key == static_cast<key_t>(-1))
		throw error(std::make_error_code(std::errc::no_such_file_or_directory),
				::unishm_errmsg());
	return key;
}

/* The segments of a backend that this process may read; nullptr: of the default one. */
inline std::vector<status> list(const char *backend = nullptr)
{
	std::vector<status> found;
	auto add = [&found](const detail::c_status &st) { found.push_back(status(st)); };
	detail::carrier<decltype(add)> carrier(add);
	const int rc = ::unishm_list(backend, detail::carrier<decltype(add)>::visit, &carrier);
	carrier.deliver();
	detail::check(rc);
	return found;
}

/* As unishm_sweep(): what was found, and removed unless @flags say otherwise. */
inline std::vector<status> sweep(const char *backend = nullptr, int flags = 0)
{
	std::vector<status> found;
	auto add = [&found](const detail::c_status &st) { found.push_back(status(st)); };
	detail::carrier<decltype(add)> carrier(add);
	const int rc = ::unishm_sweep(
			backend, flags, detail::carrier<decltype(add)>::visit, &carrier);
	carrier.deliver();
	detail::check(rc);
	return found;
}

/* The names of what is built in, the default first. */
inline std::vector<std::string> backends()
{
	std::vector<std::string> names;
	for (const char *const *name = ::unishm_backends(); *name; name++)
		names.push_back(*name);
	return names;
}

} // namespace unishm_cpp

/* The name by which all of it is used; see the top. No object of it exists. */
struct unishm {
	unishm() = delete;

	typedef unishm_cpp::segment segment;
	typedef unishm_cpp::attachment attachment;
	typedef unishm_cpp::memory memory;
	typedef unishm_cpp::options options;
	typedef unishm_cpp::status status;
	typedef unishm_cpp::error error;

	/* UNISHM_PRIVATE, without the cast of C in it. */
	static constexpr key_t private_key = 0;

	static key_t key_from_path(const std::string &path, int project)
	{
		return unishm_cpp::key_from_path(path, project);
	}
	static key_t key_from_name(const std::string &name)
	{
		return ::unishm_key_from_name(name.c_str());
	}
	static std::vector<status> list(const char *backend = nullptr)
	{
		return unishm_cpp::list(backend);
	}
	static std::vector<status> sweep(const char *backend = nullptr, int flags = 0)
	{
		return unishm_cpp::sweep(backend, flags);
	}
	static std::vector<std::string> backends() { return unishm_cpp::backends(); }
	static const char *version() noexcept { return ::unishm_version(); }
	static const char *errmsg() noexcept { return ::unishm_errmsg(); }
};

#endif
