/* SPDX-License-Identifier: MIT */
#include "posix_seat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"

enum { WORD_COUNT = 0xffff, WORD_NONCE_SHIFT = 16 };

/* Shared memory that others write: words, whole, in one order for all. */
static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void store(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static bool swap(uint32_t *word, uint32_t old, uint32_t value)
{
	return __atomic_compare_exchange_n(word, &old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Places and nonces need be different, not secret: who may lock the object can
 * see all locks anyway. Async-signal-safe. */
static uint64_t random_bits(void)
{
	static uint32_t calls; /* a word: not every processor can add to two at once */
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t z = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) * UINT64_C(0x9e3779b97f4a7c15);
	z += (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30 ^ (uint64_t)unishm_pid() << 40;
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9); /* splitmix64 */
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t place_of(uint32_t index, uint32_t nonce)
{
	return PLACE_SLOTS + ((uint64_t)index << 16 | nonce);
}

/* ---- Locks of the process --------------------------------------------------
 *
 * They go with any close() of their file, and their holder cannot find them by
 * asking. So the places of ours are listed here, by file, and descriptors of such
 * a file are not closed but parked, for whoever opens it next, until the last of
 * its locks ends. Reached only with forks held off or a handle locked, so that a
 * fork finds it at rest. */

struct guarded {
	struct guarded *next;
	dev_t dev;
	ino_t ino;
	size_t locks, room;
	uint64_t *places;
	unsigned parked;
	struct {
		int fd;
		bool writable;
	} fds[16];
};

static struct unishm_mutex guarding = UNISHM_MUTEX_INIT;
static struct guarded *all_guarded;

static char was_parked; /* who owns such a descriptor, until a handle does */

bool posix_was_parked(int fd)
{
	return os_owns(fd, &was_parked);
}

static struct guarded *find_guarded(dev_t dev, ino_t ino)
{
	struct guarded *at = all_guarded;
	while (at && (at->dev != dev || at->ino != ino))
		at = at->next;
	return at;
}

int posix_open_fd(const char *name, int access)
{
	struct stat st;
	int fd = -1;
	if (__atomic_load_n(&all_guarded, __ATOMIC_ACQUIRE) && os_object_stat(name, &st) == 0) {
		unishm_mutex_lock(&guarding);
		struct guarded *file = find_guarded(st.st_dev, st.st_ino);
		for (unsigned i = 0; file && fd < 0 && i < file->parked; i++) {
			if (access != O_RDONLY && !file->fds[i].writable)
				continue;
			fd = file->fds[i].fd;
			file->fds[i] = file->fds[--file->parked];
			os_own(fd, &was_parked);
		}
		unishm_mutex_unlock(&guarding);
	}
	return fd >= 0 ? fd : os_object_open(name, access);
}

void posix_close_fd(int fd, dev_t dev, ino_t ino)
{
	unishm_mutex_lock(&guarding);
	struct guarded *file = find_guarded(dev, ino);
	bool keep = file && file->locks;
	if (keep && file->parked < sizeof file->fds / sizeof *file->fds) {
		file->fds[file->parked].fd = fd;
		file->fds[file->parked++].writable = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
	} /* else better lose a descriptor than a lock */
	unishm_mutex_unlock(&guarding);
	if (!keep)
		unishm_sys.close(fd);
}

static bool add_place(struct guarded *file, uint64_t place)
{
	if (file->locks == file->room) {
		size_t room = file->room ? 2 * file->room : 8;
		uint64_t *more = unishm_sys.realloc(file->places, room * sizeof *more);
		if (!more)
			return false;
		file->places = more;
		file->room = room;
	}
	file->places[file->locks++] = place;
	return true;
}

static bool begin_process_lock(const struct posix *p, uint64_t place)
{
	unishm_mutex_lock(&guarding);
	struct guarded *file = find_guarded(p->dev, p->ino);
	if (!file && (file = unishm_sys.calloc(1, sizeof *file))) {
		file->next = all_guarded;
		file->dev = p->dev;
		file->ino = p->ino;
		__atomic_store_n(&all_guarded, file, __ATOMIC_RELEASE);
	}
	bool done = file && add_place(file, place);
	unishm_mutex_unlock(&guarding);
	return done;
}

static void end_process_lock(const struct posix *p, uint64_t place)
{
	unishm_mutex_lock(&guarding);
	struct guarded *file = find_guarded(p->dev, p->ino);
	for (size_t i = 0; file && i < file->locks; i++) {
		if (file->places[i] != place)
			continue;
		file->places[i] = file->places[--file->locks];
		while (file->locks == 0 && file->parked)
			unishm_sys.close(file->fds[--file->parked].fd);
		break;
	}
	unishm_mutex_unlock(&guarding);
}

static bool find_own(dev_t dev, ino_t ino, uint64_t from, uint64_t to, uint64_t *place)
{
	bool found = false;
	if (!__atomic_load_n(&all_guarded, __ATOMIC_ACQUIRE))
		return false;
	unishm_mutex_lock(&guarding);
	struct guarded *file = find_guarded(dev, ino);
	for (size_t i = 0; file && !found && i < file->locks; i++) {
		*place = file->places[i];
		found = from <= *place && *place <= to;
	}
	unishm_mutex_unlock(&guarding);
	return found;
}

/* By which kind of lock are we to hold a place? On an object on which the process holds
 * one, no descriptor can be closed, and so no description be held by a mapping alone. */
static bool lock_by_process(const struct posix *p)
{
	uint64_t any;
	return OS_PROCESS_LOCKS || find_own(p->dev, p->ino, 0, UINT64_MAX, &any);
}

int seat_find_lock(int fd, const struct stat *st, uint64_t from, uint64_t to, struct span *found)
{
	int rc = os_lock_find(fd, from, to, &found->from, &found->to);
	if (rc == 0 && find_own(st->st_dev, st->st_ino, from, to, &found->from)) {
		found->to = found->from;
		return 1;
	}
	return rc;
}

static int find_lock(const struct posix *p, uint64_t from, uint64_t to, struct span *found)
{
	struct stat st = { .st_dev = p->dev, .st_ino = p->ino };
	return seat_find_lock(p->fd, &st, from, to, found);
}

int seat_lock_place(const struct posix *p, struct os_lock how, uint64_t place, bool exclusive)
{
	if (how.by_process && !begin_process_lock(p, place))
		return -ENOMEM;
	int rc = os_lock(how, place, 1, exclusive);
	if (rc < 0 && how.by_process)
		end_process_lock(p, place);
	return rc;
}

void seat_unlock_place(const struct posix *p, struct os_lock how, uint64_t place)
{
	os_unlock(how, place, 1);
	if (how.by_process)
		end_process_lock(p, place);
}

/* Give up a lock of the process: if the descriptor is no more ours, it is gone
 * already. */
static void unlock_by_process(struct unishm *seg, uint64_t place)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	if (posix_usable(seg, &st) == 0)
		os_unlock((struct os_lock){ p->fd, true }, place, 1);
	end_process_lock(p, place);
}

/* ---- Slots ---------------------------------------------------------------- */

/* The slot's page must have memory, or a full system answers our store with
 * SIGBUS. The head's page got its own when the segment was made. */
static int ensure_memory(int fd, off_t record_at, struct record *record, uint32_t index)
{
	enum { STEP = 4096 };
	uint32_t needed = (uint32_t)(sizeof record->tail + (index + 1) * sizeof(struct record_slot));
	if (needed <= load(&record->tail.head.reserved_bytes))
		return 0;
	needed = (needed + STEP - 1) / STEP * STEP;
	int rc = -unishm_sys.reserve(fd, record_at + RECORD_SIZE - (off_t)needed, (off_t)needed);
	if (rc == -ENOSPC || rc == -ENOMEM)
		return rc;
	store(&record->tail.head.reserved_bytes, needed); /* or a system that cannot reserve */
	return 0;
}

static void raise_slots_used(struct record *record, uint32_t used)
{
	uint32_t now = load(&record->tail.head.slots_used);
	while (now < used && !swap(&record->tail.head.slots_used, now, used))
		now = load(&record->tail.head.slots_used);
}

/* A slot whose holder is dead: free it, and write down that it detached. Only one of
 * several who see it does; what is taken anew has another nonce. */
static bool bury_slot(struct record *record, uint32_t index, struct record_slot dead)
{
	struct record_head *head = &record->tail.head;
	if (!swap(&record_slot(record, index)->word, dead.word, 0))
		return false;
	if (!(dead.word & WORD_COUNT) || dead.pid == 0)
		return false; /* not attached, or a child that never ran */
	uint64_t stamp = record_stamp();
	store(&head->detach_time, record_now());
	record_copy(&head->detach_op, &stamp, sizeof stamp);
	store(&head->last_pid, dead.pid);
	return true;
}

/* Children that end leave their slots to whoever counts. Where nobody does, look for
 * them when there are twice as many as lived the last time. */
static void sweep_slots(const struct posix *p, struct record *record)
{
	uint32_t used = load(&record->tail.head.slots_used), alive = 0;
	struct span found;
	for (uint32_t i = 0; i < used && i < RECORD_SLOTS; i++) {
		struct record_slot slot = { load(&record_slot(record, i)->word), load(&record_slot(record, i)->pid) };
		uint64_t place = place_of(i, slot.word >> WORD_NONCE_SHIFT);
		if (slot.word != 0 && find_lock(p, place, place, &found) == 0)
			bury_slot(record, i, slot);
		else
			alive += slot.word != 0;
	}
	store(&record->tail.head.sweep_at, 2 * alive);
}

/* Take a free slot with @count attachments; its lock is taken by @how, through
 * the mapping @record. If we are killed on the way, what is left is a lock that
 * goes with us, or a word without a lock: dead. */
static int take_slot(const struct posix *p, struct os_lock how, struct record *record,
		uint32_t count, struct seat *seat)
{
	uint32_t passed = 0, many = load(&record->tail.head.sweep_at) + 32;
	for (uint32_t i = 0; i < RECORD_SLOTS; i++) {
		int rc = ensure_memory(how.fd, p->record_at, record, i);
		if (rc < 0)
			return rc;
		if (load(&record_slot(record, i)->word) != 0) {
			if (++passed == many) {
				sweep_slots(p, record);
				i = UINT32_MAX; /* from the start, this once */
			}
			continue;
		}
		uint32_t nonce = 1 + (uint32_t)(random_bits() % 0xffff);
		rc = seat_lock_place(p, how, place_of(i, nonce), false);
		if (rc < 0)
			return rc;
		raise_slots_used(record, i + 1);
		if (swap(&record_slot(record, i)->word, 0, nonce << WORD_NONCE_SHIFT | count)) {
			store(&record_slot(record, i)->pid, 0);
			*seat = (struct seat){ record, i, nonce, how.by_process };
			return 0;
		}
		seat_unlock_place(p, how, place_of(i, nonce));
	}
	return -ENOSPC; /* all taken: the caller falls back to marks */
}

static uint32_t *seat_word(const struct seat *seat)
{
	return &record_slot(seat->record, seat->index)->word;
}

static void sign(const struct seat *seat, pid_t pid)
{
	store(&record_slot(seat->record, seat->index)->pid, (uint32_t)pid);
}

/* The record, mapped for this process alone, through @fd. */
static int map_seat(int fd, const struct posix *p, struct record **record)
{
	void *addr = unishm_sys.mmap(os_place_for_own(), RECORD_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, p->record_at);
	if (addr == MAP_FAILED)
		return -errno;
	int rc = os_dont_inherit(addr, RECORD_SIZE);
	if (rc < 0)
		unishm_sys.munmap(addr, RECORD_SIZE);
	else
		*record = addr;
	return rc;
}

/* Touching a record that somebody has cut off would raise SIGBUS. */
static int check_whole(int fd, const struct posix *p)
{
	struct stat st;
	if (unishm_sys.fstat(fd, &st) < 0)
		return -errno;
	return posix_check_length(p, &st);
}

/* The handle's seat, if it has none yet: open, map, lock, and close. */
static int sit_down(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct record *record = NULL;
	if (p->seat.record)
		return 0;
	bool by_process = lock_by_process(p);
	int fd = by_process ? p->fd : posix_reopen(seg, O_RDWR);
	if (fd < 0)
		return fd;
	int rc = check_whole(fd, p);
	if (rc == 0)
		rc = map_seat(fd, p, &record);
	if (rc == 0) {
		rc = take_slot(p, (struct os_lock){ fd, by_process }, record, 0, &p->seat);
		if (rc == 0)
			sign(&p->seat, unishm_pid());
		else
			unishm_sys.munmap(record, RECORD_SIZE);
	}
	if (!by_process)
		posix_close_fd(fd, p->dev, p->ino);
	return rc;
}

/* Add to the count of our word, as long as it is ours: a seat whose lock the program
 * closed, or lost, is buried by whoever counts, and its slot may have a new holder. */
static bool add_to_word(const struct seat *seat, int change)
{
	uint32_t word;
	do {
		word = load(seat_word(seat));
		uint32_t count = word & WORD_COUNT;
		if (word >> WORD_NONCE_SHIFT != seat->nonce || count == (change > 0 ? WORD_COUNT : 0))
			return false;
	} while (!swap(seat_word(seat), word, change > 0 ? word + 1 : word - 1));
	return true;
}

void seat_close(struct unishm *seg, bool intact)
{
	struct posix *p = posix_of(seg);
	if (!p->seat.record)
		return;
	if (intact)
		swap(seat_word(&p->seat), p->seat.nonce << WORD_NONCE_SHIFT, 0);
	if (p->seat.by_process)
		unlock_by_process(seg, place_of(p->seat.index, p->seat.nonce));
	unishm_sys.munmap(p->seat.record, RECORD_SIZE);
	p->seat.record = NULL;
}

/* ---- Marks ---------------------------------------------------------------- */

enum { MARK_LENGTH = 4096 }; /* one page, whatever its size: mmap rounds up */

/* What stands for the mapping of a mark that has none: one that is a lock of the
 * process, and one that could not be carried into a child. */
static char by_process_mark, lost_mark;

static uint64_t new_mark_place(void)
{
	return PLACE_MARKS + (random_bits() & ((UINT64_C(1) << 61) - 1));
}

static int map_mark(int fd, off_t offset, size_t length, void **addr)
{
	void *place = length == MARK_LENGTH ? os_place_for_own() : NULL;
	void *got = unishm_sys.mmap(place, length, PROT_READ, MAP_SHARED, fd, offset);
	if (got == MAP_FAILED)
		return -errno;
	int rc = os_dont_inherit(got, length);
	if (rc < 0)
		unishm_sys.munmap(got, length);
	else
		*addr = got;
	return rc;
}

/* Lock @place on the description of @fd, which is closed then, since a mapping of
 * [@offset, @offset + @length) holds it. */
static int hold_by_mapping(const struct posix *p, int fd, uint64_t place, off_t offset, size_t length,
		void **addr)
{
	void *held = NULL;
	if (fd < 0)
		return fd;
	int rc = map_mark(fd, offset, length, &held);
	if (rc == 0) {
		rc = os_lock((struct os_lock){ fd, false }, place, 1, false);
		if (rc == 0)
			*addr = held;
		else
			unishm_sys.munmap(held, length);
	}
	posix_close_fd(fd, p->dev, p->ino);
	return rc;
}

static int take_mark(struct unishm *seg, struct unishm_attachment *attachment)
{
	struct posix *p = posix_of(seg);
	attachment->place = new_mark_place();
	if (!lock_by_process(p))
		return hold_by_mapping(p, posix_reopen(seg, O_RDONLY), attachment->place,
				p->record_at, MARK_LENGTH, &attachment->mark);
	attachment->mark = &by_process_mark;
	return seat_lock_place(p, (struct os_lock){ p->fd, true }, attachment->place, false);
}

/* ---- Lights ---------------------------------------------------------------- */

/* What stands for the mapping that holds a light's lock: the handle's descriptor does,
 * and the attachment itself, which is mapped through it. */
static char by_handle_mark;

bool seat_is_light(const struct unishm_attachment *attachment)
{
	return attachment->place >= PLACE_LIGHTS && attachment->place < PLACE_PINS;
}

static bool write_light(struct posix *p)
{
	size_t at = offsetof(struct record, tail.lights) + p->light.index * sizeof p->light.account;
	return posix_put_record(p, at, &p->light.account, sizeof p->light.account);
}

/* Lock one of a few lights. Where is chance, so that many who come at once seldom meet. */
static int claim_light(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	int rc = -EAGAIN;
	uint32_t start = (uint32_t)random_bits();
	for (uint32_t i = 0; rc == -EAGAIN && i < 3; i++) {
		p->light.index = (start + i) % RECORD_LIGHTS;
		rc = os_lock((struct os_lock){ p->fd, false }, PLACE_LIGHTS + p->light.index, 1, true);
	}
	return rc;
}

static void release_light(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	os_unlock((struct os_lock){ p->fd, false }, PLACE_LIGHTS + p->light.index, 1);
	p->light.held = false;
}

/* Count @new by one write, which also says who and when. -EIDRM: the segment is removed.
 * -ENOSPC: it cannot be done so.
 *
 * The lock comes first, then the question whether the segment is removed, then the word:
 * a remover who asks for locks after he said "removed" sees the lock, or we see him. If
 * we are killed on the way, the lock goes, and the word, if any, is dead. What an earlier
 * holder left is ours by the lock: if he was killed, his death is noted with our write. */
static int take_light(struct unishm *seg, struct unishm_attachment *new)
{
	struct posix *p = posix_of(seg);
	struct record_tail tail;
	const struct record_light *lights;
	bool fit = !OS_PROCESS_LOCKS && !p->light.spent && !p->lent && !p->seat.record && p->writable;
	p->light.spent = true;
	if (!fit || lock_by_process(p) || claim_light(seg) < 0)
		return -ENOSPC;
	p->light.held = true;
	int rc = posix_read_tail(seg, &tail, &lights) < 0 ? -ENOSPC : 0;
	if (rc == 0 && (tail.head.removed || tail.head.state == 0))
		rc = -EIDRM;
	if (rc == 0) {
		struct record_light *account = &p->light.account;
		*account = lights[p->light.index];
		account->attach_time = record_now();
		if (account->word & WORD_COUNT) {
			account->detach_time = account->attach_time;
			account->detach_op = record_stamp();
		}
		account->word = ((account->word >> WORD_NONCE_SHIFT) + 1) << WORD_NONCE_SHIFT | 1;
		account->pid = (uint32_t)unishm_pid();
		account->attach_op = record_stamp();
		rc = write_light(p) ? 0 : -ENOSPC;
	}
	if (rc < 0) {
		release_light(seg);
		return rc;
	}
	new->place = PLACE_LIGHTS + p->light.index;
	new->mark = &by_handle_mark;
	return 0;
}

/* If it cannot be written, a word without a lock remains, which is as good as a death. */
static void leave_light(struct unishm *seg, struct unishm_attachment *old, bool usable)
{
	struct posix *p = posix_of(seg);
	struct record_light *account = &p->light.account;
	account->word &= ~(uint32_t)WORD_COUNT;
	account->detach_time = record_now();
	account->pid = (uint32_t)unishm_pid();
	account->detach_op = record_stamp();
	if (usable || p->seat.record)
		write_light(p);
	if (old->mark == &by_handle_mark)
		release_light(seg);
	else if (old->mark == &by_process_mark)
		unlock_by_process(seg, old->place);
	else
		unishm_sys.munmap(old->mark, MARK_LENGTH);
}

static struct unishm_attachment *find_light(struct unishm *seg)
{
	for (unsigned i = 0; i < seg->attached; i++)
		if (seat_is_light(&seg->attachments[i]))
			return &seg->attachments[i];
	return NULL;
}

/* The light's lock goes from the handle's descriptor, which a child would have too and
 * the program can close, to a description of its own. Two shared locks make that one
 * step. */
static bool move_light(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	int rc = posix_usable(seg, &st); /* which may rescue it */
	struct unishm_attachment *attachment = find_light(seg);
	if (rc < 0 || !attachment || !p->light.held)
		return false;
	rc = os_lock((struct os_lock){ p->fd, false }, attachment->place, 1, false);
	if (rc == 0)
		rc = hold_by_mapping(p, posix_reopen(seg, O_RDONLY), attachment->place, p->record_at,
				MARK_LENGTH, &attachment->mark);
	if (rc == 0)
		release_light(seg);
	return rc == 0;
}

/* The program closed the descriptor that held the lock. That goes with the mapping of
 * the attachment now, in which a child would have its share: so count it in the seat. It
 * is counted twice for the time between two stores. Or, if it was just unmapped, by
 * nobody, and somebody may have buried it. */
void seat_rescue_light(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct unishm_attachment *attachment = find_light(seg);
	uint32_t word = p->light.account.word;
	if (!p->light.held || !attachment)
		return;
	p->light.held = false;
	attachment->mark = &lost_mark;
	attachment->place = 0;
	if (sit_down(seg) < 0 || !add_to_word(&p->seat, 1))
		return; /* dead when it is unmapped, and somebody will see that */
	uint32_t *lit = &p->seat.record->tail.lights[p->light.index].word;
	if (swap(lit, word, word & ~(uint32_t)WORD_COUNT))
		attachment->mark = NULL;
	else
		add_to_word(&p->seat, -1);
}

/* ---- Pins -------------------------------------------------------------------- */

static int open_to_pin(struct unishm *seg, const struct stat *st)
{
	return OS_BESIDE ? posix_open_data(seg, O_RDONLY) : posix_reopen_as_owner(seg, O_RDONLY, st);
}

static int pin_by_process(struct unishm *seg, int fd, uint64_t place, void **pin)
{
	struct posix *p = posix_of(seg);
	int rc = fd < 0 ? fd : map_mark(fd, 0, seg->size, pin);
	if (fd >= 0 && OS_BESIDE)
		unishm_sys.close(fd);
	else if (fd >= 0)
		posix_close_fd(fd, p->dev, p->ino);
	if (rc < 0)
		return rc;
	rc = seat_lock_place(p, (struct os_lock){ p->fd, true }, place, false);
	if (rc < 0)
		unishm_sys.munmap(*pin, seg->size);
	return rc;
}

int seat_pin(struct unishm *seg, const struct stat *st, uint32_t epoch)
{
	struct posix *p = posix_of(seg);
	void *pin = NULL;
	bool by_process = lock_by_process(p);
	int fd = open_to_pin(seg, st);
	int rc = by_process ? pin_by_process(seg, fd, PLACE_PINS + epoch, &pin)
			: hold_by_mapping(p, fd, PLACE_PINS + epoch, 0, seg->size, &pin);
	if (rc == 0) {
		p->pin = pin;
		p->pin_epoch = epoch;
		p->pin_by_process = by_process;
	}
	return rc;
}

void seat_unpin(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	if (!p->pin)
		return;
	unishm_sys.munmap(p->pin, seg->size);
	p->pin = NULL;
	if (p->pin_by_process)
		unlock_by_process(seg, PLACE_PINS + p->pin_epoch);
}

/* ---- Attachments ----------------------------------------------------------- */

int seat_take(struct unishm *seg, struct unishm_attachment *new, bool by_handle)
{
	struct posix *p = posix_of(seg);
	int rc = by_handle ? take_light(seg, new) : -ENOSPC;
	if (rc != -ENOSPC)
		return rc;
	rc = p->writable ? sit_down(seg) : -EACCES;
	if (rc == 0 && add_to_word(&p->seat, 1))
		return 0;
	if (rc != 0 && rc != -EACCES && rc != -ENOSPC)
		return rc;
	return take_mark(seg, new);
}

void seat_leave(struct unishm *seg, struct unishm_attachment *old)
{
	struct posix *p = posix_of(seg);
	struct stat st;
	bool light = seat_is_light(old);
	bool usable = light && posix_usable(seg, &st) == 0 && p->writable;
	if (light && !seat_is_light(old))
		posix_note(seg, POSIX_DETACH); /* it was rescued just now, or would say so itself */
	if (seat_is_light(old)) {
		leave_light(seg, old, usable);
	} else if (old->mark == &by_process_mark) {
		unlock_by_process(seg, old->place);
	} else if (old->mark && old->mark != &lost_mark) {
		unishm_sys.munmap(old->mark, MARK_LENGTH);
	} else if (!old->mark && p->seat.record) {
		add_to_word(&p->seat, -1);
	}
}

void seat_secure_light(struct unishm *seg)
{
	if (posix_of(seg)->light.held && sit_down(seg) == 0)
		move_light(seg);
}

void seat_keep_record(struct unishm *seg)
{
	if (posix_of(seg)->writable && !lock_by_process(posix_of(seg)) && os_place_for_own())
		sit_down(seg);
}

/* ---- Counting -------------------------------------------------------------- */

/* Slots as they are now, the last one first, from the seat's mapping or by reading. */
static int read_slots(struct unishm *seg, uint32_t from, uint32_t count, struct record_slot *out)
{
	struct posix *p = posix_of(seg);
	if (!p->seat.record) {
		off_t at = p->record_at + (off_t)((RECORD_SLOTS - from - count) * sizeof *out);
		ssize_t got = unishm_sys.pread(p->fd, out, count * sizeof *out, at);
		if (got < 0)
			return -errno;
		return got == (ssize_t)(count * sizeof *out) ? 0 : -EIO;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct record_slot *slot = record_slot(p->seat.record, from + i);
		out[count - 1 - i].word = load(&slot->word);
		out[count - 1 - i].pid = load(&slot->pid);
	}
	return 0;
}

/* Of a light. Its account stays: it has the times. */
static bool bury_light(struct record *record, uint32_t index, uint32_t word)
{
	struct record_light *light = &record->tail.lights[index];
	if (!swap(&light->word, word, word & ~(uint32_t)WORD_COUNT))
		return false;
	uint64_t stamp = record_stamp();
	store(&light->detach_time, record_now());
	record_copy(&light->detach_op, &stamp, sizeof stamp);
	return true;
}

/* The record, to write to: the seat's mapping, or one for the occasion; NULL. */
static struct record *borrow_record(struct posix *p)
{
	struct record *record = p->seat.record;
	if (!record && p->writable)
		map_seat(p->fd, p, &record);
	return record;
}

static void return_record(const struct posix *p, struct record *record)
{
	if (record != p->seat.record)
		unishm_sys.munmap(record, RECORD_SIZE);
}

/* @light: it is one of the lights, and @index is among those. */
static void see_to_dead(struct unishm *seg, bool light, uint32_t index, struct record_slot dead,
		struct tally *tally)
{
	struct posix *p = posix_of(seg);
	struct record *record = borrow_record(p);
	if (record) {
		tally->buried |= light ? bury_light(record, index, dead.word) : bury_slot(record, index, dead);
		return_record(p, record);
	} else if (dead.word & WORD_COUNT) {
		tally->unrecorded = true;
		tally->ended = (pid_t)dead.pid;
	}
}

/* The words are read first and their locks looked for then: a lock that is gone
 * by now is one that was given up, or whose holder died. */
static int count_slots(struct unishm *seg, uint32_t used, struct tally *tally)
{
	enum { CHUNK = 64 };
	struct posix *p = posix_of(seg);
	struct record_slot slots[CHUNK];
	struct span found;
	if (used > RECORD_SLOTS)
		used = RECORD_SLOTS;
	for (uint32_t at = 0; at < used; at += CHUNK) {
		uint32_t count = used - at < CHUNK ? used - at : CHUNK;
		int rc = read_slots(seg, at, count, slots);
		for (uint32_t i = 0; rc >= 0 && i < count; i++) {
			struct record_slot slot = slots[count - 1 - i];
			if (slot.word == 0)
				continue;
			uint64_t place = place_of(at + i, slot.word >> WORD_NONCE_SHIFT);
			bool own = p->seat.record && at + i == p->seat.index;
			rc = own ? 1 : find_lock(p, place, place, &found);
			if (rc > 0)
				tally->attached += slot.word & WORD_COUNT;
			else if (rc == 0)
				see_to_dead(seg, false, at + i, slot, tally);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* A light's lock is there as long as it is taken. A word that is read here may be of one
 * holder and its lock of the next, who is as good as attached. */
static int count_lights(struct unishm *seg, const struct record_light *lights, bool removed,
		struct tally *tally)
{
	struct posix *p = posix_of(seg);
	struct span found;
	int rc = 0;
	for (uint32_t i = 0; rc >= 0 && i < RECORD_LIGHTS; i++) {
		uint32_t word = __atomic_load_n(&lights[i].word, __ATOMIC_ACQUIRE);
		if (!(word & WORD_COUNT))
			continue;
		bool own = p->light.held && i == p->light.index;
		rc = own ? 1 : find_lock(p, PLACE_LIGHTS + i, PLACE_LIGHTS + i, &found);
		if (rc > 0)
			tally->attached++;
		else if (rc == 0)
			see_to_dead(seg, true, i, (struct record_slot){ word, lights[i].pid }, tally);
	}
	/* Who has a lock and no word yet will ask whether it is removed. */
	if (rc >= 0 && removed) {
		rc = find_lock(p, PLACE_LIGHTS, PLACE_LIGHTS + RECORD_LIGHTS - 1, &found);
		tally->coming = rc > 0;
	}
	return rc;
}

/* A growing stack of spans of lock places. It is on the heap as soon as it is
 * more than a few: whoever may read the segment chooses how many marks it has. */
struct spans {
	size_t count, room;
	struct span *list, few[32];
};

static bool push_span(struct spans *spans, uint64_t from, uint64_t to)
{
	if (spans->count == spans->room) {
		bool on_heap = spans->list != spans->few;
		struct span *more = unishm_sys.realloc(on_heap ? spans->list : NULL,
				2 * spans->room * sizeof *more);
		if (!more)
			return false;
		for (size_t i = 0; !on_heap && i < spans->count; i++)
			more[i] = spans->few[i];
		spans->list = more;
		spans->room *= 2;
	}
	spans->list[spans->count++] = (struct span){ from, to };
	return true;
}

/* Marks and pins: ask for any lock in a span, then for others to the left and to
 * the right of what was found. */
static int count_marks(struct unishm *seg, uint64_t pin, struct tally *tally)
{
	struct posix *p = posix_of(seg);
	struct spans spans;
	int rc = 0;
	spans.list = spans.few;
	spans.room = sizeof spans.few / sizeof *spans.few;
	spans.list[0] = (struct span){ PLACE_PINS, PLACE_END };
	spans.count = 1;
	while (spans.count > 0 && rc >= 0) {
		struct span ask = spans.list[--spans.count], found;
		rc = find_lock(p, ask.from, ask.to, &found);
		if (rc <= 0)
			continue;
		if (found.from <= pin && pin <= found.to)
			tally->locked = true;
		if (found.to >= PLACE_MARKS)
			tally->attached++;
		if ((found.from > ask.from && !push_span(&spans, ask.from, found.from - 1)) ||
				(found.to < ask.to && !push_span(&spans, found.to + 1, ask.to)))
			rc = -ENOMEM;
	}
	if (spans.list != spans.few)
		free(spans.list);
	return rc;
}

int seat_count(struct unishm *seg, const struct record_head *head, const struct record_light *lights,
		bool removed, struct tally *tally)
{
	*tally = (struct tally){ 0 };
	int rc = count_lights(seg, lights, removed, tally);
	if (rc >= 0)
		rc = count_slots(seg, head->slots_used, tally);
	if (rc == 0)
		rc = count_marks(seg, PLACE_PINS + head->lock_epoch, tally);
	return rc;
}

int seat_anybody(struct unishm *seg)
{
	struct span found;
	return find_lock(posix_of(seg), PLACE_SLOTS, PLACE_END, &found);
}

/* ---- Fork ------------------------------------------------------------------ */

/* From now on the count may be too low: say so, and free no memory by it. */
static void nobody_counts_the_child(struct unishm *seg)
{
	posix_of(seg)->uncounted = true; /* if it cannot be written now */
	posix_write_head(seg, offsetof(struct record_head, uncounted), 1);
}

static void close_pipe_end(int *fd)
{
	if (*fd >= 0)
		unishm_sys.close(*fd);
	*fd = -1;
}

/* A pipe by which the parent learns that the child has its locks, or is dead. */
static void open_pipe(struct posix *p)
{
	if (p->heir_pipe[0] >= 0 || unishm_sys.pipe(p->heir_pipe) == 0)
		return;
	p->heir_pipe[0] = p->heir_pipe[1] = -1; /* no descriptors left: see await_child() */
}

/* What the child will take over is held by the process, on the handle's descriptor. */
static bool hold_by_process(struct unishm *seg, struct os_lock *how)
{
	struct stat st;
	if (posix_usable(seg, &st) < 0)
		return false;
	*how = (struct os_lock){ posix_of(seg)->fd, true };
	open_pipe(posix_of(seg));
	return true;
}

static void close_heir(const struct posix *p, int *fd)
{
	if (*fd >= 0)
		posix_close_fd(*fd, p->dev, p->ino);
	*fd = -1;
}

/* A lock of the process can be lost unseen: by a child that closes all descriptors. */
static void warn_of_process_lock(struct unishm *seg, struct os_lock how)
{
	if (how.by_process && !OS_PROCESS_LOCKS)
		nobody_counts_the_child(seg);
}

static bool may_read(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	int fd = posix_reopen(seg, O_RDONLY);
	if (fd >= 0)
		posix_close_fd(fd, p->dev, p->ino);
	return fd >= 0;
}

/* Before a fork: where no description can be had, the process holds it. */
static void hold_light_apart(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	if (move_light(seg) || !p->light.held)
		return;
	struct unishm_attachment *attachment = find_light(seg);
	if (seat_lock_place(p, (struct os_lock){ p->fd, true }, attachment->place, false) == 0) {
		attachment->mark = &by_process_mark;
		release_light(seg);
	}
	nobody_counts_the_child(seg); /* or us, if we close all descriptors; or us too long, if
					 the handle still has the lock */
}

/* A seat for the child, with the count of its parent. False: it cannot be had, since
 * the process may only read the object any more; then there are marks. A lock of the
 * process comes last: from then on descriptors of the object are parked, and none that
 * was opened for a child may be. Other handles of the object meet the same rights. */
static bool prepare_seat(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	uint32_t count = p->seat.record ? load(seat_word(&p->seat)) & WORD_COUNT : 0;
	count += find_light(seg) != NULL;
	if (count == 0)
		return true; /* the child takes a seat when it attaches */
	int fd = lock_by_process(p) ? -EBUSY : posix_reopen(seg, O_RDWR);
	if (fd == -EACCES && may_read(seg))
		return false;
	struct os_lock how = { fd, false };
	p->heir_fd = fd >= 0 ? fd : -1;
	if (fd < 0 && !(p->writable && hold_by_process(seg, &how)))
		return false;
	if (!p->seat.record && !how.by_process)
		sit_down(seg); /* for its mapping, and more forks to come */
	struct record *record = p->seat.record;
	if ((record || map_seat(how.fd, p, &record) == 0) &&
			take_slot(p, how, record, count, &p->heir) == 0) {
		warn_of_process_lock(seg, how);
		return true;
	}
	if (record && record != p->seat.record)
		unishm_sys.munmap(record, RECORD_SIZE);
	close_heir(p, &p->heir_fd);
	return false;
}

static void prepare_mark(struct unishm *seg, struct unishm_attachment *attachment)
{
	struct posix *p = posix_of(seg);
	struct os_lock how;
	uint64_t place = new_mark_place();
	attachment->heir = lock_by_process(p) ? -1 : posix_reopen(seg, O_RDONLY);
	how = (struct os_lock){ attachment->heir, false };
	bool held = attachment->heir >= 0 || hold_by_process(seg, &how);
	if (held && seat_lock_place(p, how, place, false) == 0) {
		attachment->heir_place = place;
		warn_of_process_lock(seg, how);
		return;
	}
	close_heir(p, &attachment->heir);
	nobody_counts_the_child(seg); /* a reader cannot even say so in the record */
}

static bool is_first(const struct unishm *seg)
{
	for (const struct unishm *at = seg->prev; at; at = at->prev)
		if (at->backend == seg->backend)
			return false;
	return true;
}

/* All lights come first: one may be held by a lock of the process after that. */
void seat_fork_prepare(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	p->heir_fd = p->heir_pipe[0] = p->heir_pipe[1] = -1;
	if (is_first(seg))
		for (struct unishm *at = seg; at; at = at->next)
			if (at->backend == seg->backend && posix_of(at)->light.held)
				hold_light_apart(at);
	bool seated = prepare_seat(seg);
	for (unsigned i = 0; i < seg->attached; i++) {
		struct unishm_attachment *attachment = &seg->attachments[i];
		if (!seated || (attachment->mark && !seat_is_light(attachment)))
			prepare_mark(seg, attachment);
	}
	p->lent = true;
}

/* What the parent holds for the child as a process must be the child's before the
 * parent lets go. A child that dies before that closes the pipe, too; without one
 * there must be an end to the waiting. */
static void await_child(struct posix *p)
{
	if (p->heir_pipe[0] >= 0) {
		struct pollfd end = { .fd = p->heir_pipe[0], .events = POLLIN };
		close_pipe_end(&p->heir_pipe[1]);
		while (poll(&end, 1, 2000) < 0 && errno == EINTR)
			;
		close_pipe_end(&p->heir_pipe[0]);
	} else if (p->heir.record) {
		time_t give_up = time(NULL) + 2;
		const uint32_t *pid = &record_slot(p->heir.record, p->heir.index)->pid;
		while (load(pid) == 0 && time(NULL) < give_up)
			sched_yield();
	}
}

static void hand_over(struct unishm *seg, int *fd, uint64_t place, bool by_process)
{
	if (by_process)
		unlock_by_process(seg, place);
	close_heir(posix_of(seg), fd);
}

void seat_fork_parent(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	if (p->heir_pipe[0] >= 0 || (p->heir.record && p->heir.by_process))
		await_child(p);
	if (p->heir.record)
		hand_over(seg, &p->heir_fd, place_of(p->heir.index, p->heir.nonce), p->heir.by_process);
	if (p->heir.record && p->heir.record != p->seat.record)
		unishm_sys.munmap(p->heir.record, RECORD_SIZE);
	p->heir.record = NULL;
	for (unsigned i = 0; i < seg->attached; i++) {
		struct unishm_attachment *attachment = &seg->attachments[i];
		if (attachment->heir_place)
			hand_over(seg, &attachment->heir, attachment->heir_place, attachment->heir < 0);
		attachment->heir_place = 0;
	}
	if (seg->attached) {
		posix_note(seg, POSIX_ATTACH);
	}
}

/* Sit down on the seat that the parent got ready. */
static void take_over_seat(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct seat heir = p->heir;
	int fd = heir.by_process ? p->fd : p->heir_fd;
	if (heir.by_process)
		os_lock((struct os_lock){ fd, true }, place_of(heir.index, heir.nonce), 1, false);
	if (map_seat(fd, p, &heir.record) < 0)
		return; /* not even 64 KiB: the descriptor, if any, holds the seat on */
	p->seat = heir;
	sign(&p->seat, unishm_pid());
	if (!heir.by_process)
		posix_close_fd(fd, p->dev, p->ino);
}

/* No seat was got ready: a raw clone(2) made us, or the parent could not. */
static void find_a_seat(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	uint32_t count = 0;
	for (unsigned i = 0; i < seg->attached; i++)
		count += !seg->attachments[i].mark && !seg->attachments[i].heir_place;
	if (count && p->writable && sit_down(seg) == 0)
		__atomic_add_fetch(seat_word(&p->seat), count, __ATOMIC_SEQ_CST);
}

/* Our parent has the description, too, until fork returns there, and a mark is gone when
 * nobody has it any more. So we put our own lock beside, and take off that one for both. */
static int own_mark(struct unishm *seg, struct unishm_attachment *attachment)
{
	struct posix *p = posix_of(seg);
	int rc = hold_by_mapping(p, posix_reopen(seg, O_RDONLY), attachment->place, p->record_at,
			MARK_LENGTH, &attachment->mark);
	if (rc < 0)
		return map_mark(attachment->heir, p->record_at, MARK_LENGTH, &attachment->mark);
	os_unlock((struct os_lock){ attachment->heir, false }, attachment->place, 1);
	return 0;
}

static void child_mark(struct unishm *seg, struct unishm_attachment *attachment)
{
	struct posix *p = posix_of(seg);
	struct unishm_attachment old = *attachment;
	int rc = -EBADF;
	attachment->heir_place = 0;
	attachment->place = old.heir_place;
	if (old.heir_place && old.heir >= 0) {
		rc = own_mark(seg, attachment);
		close_heir(p, &attachment->heir);
	} else if (old.heir_place) {
		rc = os_lock((struct os_lock){ p->fd, true }, old.heir_place, 1, false);
		attachment->mark = &by_process_mark;
	} else if (old.mark != &lost_mark) {
		rc = take_mark(seg, attachment); /* nothing was got ready: a raw clone(2) */
	}
	if (rc < 0)
		attachment->mark = &lost_mark;
	if (old.mark == &by_process_mark)
		end_process_lock(p, old.place); /* our parent's: we inherited the list */
}

void seat_fork_shed(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	os_drop_inherited(p->seat.record, RECORD_SIZE);
	os_drop_inherited(p->pin, seg->size);
	for (unsigned i = 0; i < seg->attached; i++) {
		void *mark = seg->attachments[i].mark;
		if (mark != &by_process_mark && mark != &lost_mark && mark != &by_handle_mark)
			os_drop_inherited(mark, MARK_LENGTH);
	}
}

/* A light of our parent's is an attachment of ours like all others, unless it got a mark. */
static void quench_light(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct unishm_attachment *attachment = find_light(seg);
	p->light.held = false;
	p->light.spent = true;
	if (!attachment || attachment->heir_place)
		return;
	if (attachment->mark == &by_process_mark)
		end_process_lock(p, attachment->place);
	attachment->mark = NULL;
	attachment->place = 0;
}

void seat_fork_child(struct unishm *seg)
{
	struct posix *p = posix_of(seg);
	struct seat old = p->seat;
	bool pinned = p->pin;
	p->seat = (struct seat){ 0 };
	p->pin = NULL; /* memory locks are not inherited */
	if (!p->lent) /* a raw clone(2): nobody prepared anything */
		posix_renew_fd(seg);
	quench_light(seg);
	if (p->heir.record)
		take_over_seat(seg);
	else
		find_a_seat(seg);
	p->heir.record = NULL;
	for (unsigned i = 0; i < seg->attached; i++)
		if (seg->attachments[i].mark || seg->attachments[i].heir_place)
			child_mark(seg, &seg->attachments[i]);
	close_pipe_end(&p->heir_pipe[0]);
	close_pipe_end(&p->heir_pipe[1]);
	/* What our parent holds as a process is not ours, though we inherited the list. */
	if (old.record && old.by_process)
		end_process_lock(p, place_of(old.index, old.nonce));
	if (pinned && p->pin_by_process)
		end_process_lock(p, PLACE_PINS + p->pin_epoch);
}
