#ifndef CTR_SPAWN_H
#define CTR_SPAWN_H

/* Where the child stopped, when it could not reach execve. */
enum ctr_stage { CTR_STARTED = 1, CTR_PARENT_GONE, CTR_JOIN, CTR_IDS, CTR_MOUNTS, CTR_FILES, CTR_EXEC };

struct ctr_spawn {
	unsigned long flags;  /* CLONE_NEWUSER, CLONE_NEWNS, ... */
	int join;             /* a user namespace to enter first, or -1; then flags has no CLONE_NEWUSER */
	int setids;           /* become uid and gid 0 once the maps are written */
	int setsid;
	int release;          /* read end: one byte once the maps are written */
	int release_write;    /* the parent's end, closed in the child so that it sees the parent die */
	int report;           /* write end, close-on-exec: {CTR_STARTED, pid}, then {stage, errno} if something fails */
	const int *files;     /* become descriptors 0..nfiles-1, nothing else stays open */
	int nfiles;
	const char *path;
	char *const *argv;
	char *const *envp;
};

/*
 * Returns when the child has executed or failed: 0, or -errno when it could not be
 * made. Meanwhile another thread reads the report, writes the maps, and releases.
 */
int ctr_spawn(const struct ctr_spawn *s);

#endif
