#ifndef CTR_SPAWN_H
#define CTR_SPAWN_H

/* Where the child stopped, when it could not reach execve. */
enum ctr_stage { CTR_PARENT_GONE = 1, CTR_JOIN, CTR_IDS, CTR_MOUNTS, CTR_FILES, CTR_EXEC };

struct ctr_spawn {
	unsigned long flags;  /* CLONE_NEWUSER, CLONE_NEWNS, ... */
	int join;             /* a user namespace to enter first, or -1; then flags has no CLONE_NEWUSER */
	int setids;           /* become uid and gid 0 once the maps are written */
	int setsid;
	int release;          /* read end: one byte once the maps are written */
	int release_write;    /* the parent's end, closed in the child so that it sees the parent die */
	int report;           /* write end, close-on-exec: {stage, errno} when something fails */
	const int *files;     /* become descriptors 0..nfiles-1, nothing else stays open */
	int nfiles;
	const char *path;
	char *const *argv;
	char *const *envp;
};

/* Returns the child's pid, or -errno. */
int ctr_spawn(const struct ctr_spawn *s);

#endif
