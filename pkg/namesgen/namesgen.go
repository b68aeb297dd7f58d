// Package namesgen makes up names for containers that were not given one.
package namesgen

import (
	"math/rand/v2"
	"strings"
)

// Name returns an adjective and a scientist's surname, as in vigilant_jones. There
// are about 20,000, so the caller must expect to be given one that is in use.
func Name() string {
	return pick(adjectives) + "_" + pick(surnames)
}

func pick(words string) string {
	list := strings.Fields(words)
	return list[rand.IntN(len(list))]
}

const adjectives = `
able active adept agile airy alert amber ample ardent artful attentive balanced bold brave breezy bright brisk busy
calm candid careful charming cheerful civil clever cool cordial cosy curious dapper daring dazzling deft diligent
dreamy eager early earnest easy elated elegant eloquent epic even exact fair faithful fearless festive fluent focused
fond frank fresh friendly frosty gallant generous gentle genial gifted glad golden graceful grand happy hardy
hearty helpful honest hopeful humble jolly jovial keen kind laughing lively loyal lucid lucky mellow merry mighty
modest musing neat nimble noble observant open orderly patient peaceful pensive placid playful plucky polite
practical proud prudent quick quiet quirky radiant ready relaxed resolute robust sage serene sharp silent sincere
smart smooth sober solid spirited stable steady stoic sturdy sunny supple swift tender thoughtful tidy tranquil
trusting upbeat valiant vigilant vivid warm wise witty zealous zen
`

const surnames = `
abel agnesi alhazen ampere anning archimedes aristarchus aryabhata avicenna avogadro babbage banach bardeen bartik
becquerel bell bernoulli berzelius bhabha bhaskara bohr boltzmann boole born bose boyle brahe brahmagupta brattain
brown cannon cantor carson cartan cauchy cavendish cerf chandrasekhar chatelet chebyshev clarke colden copernicus
cori coulomb crick curie cuvier dalton darwin davy dedekind descartes diffie dijkstra dirac dubinsky eddington edison
ehrlich einstein elion engelbart eratosthenes euclid euler faraday fermat fermi feynman fibonacci fisher fleming
fourier franklin fresnel galileo galois galvani gauss germain gibbs goldberg goodall gould haber halley hamilton
harvey hawking heaviside heisenberg helmholtz henry herschel hertz hilbert hodgkin hooke hopper hubble humboldt
hutton huygens hypatia jackson jacobi jenner johnson joliot jones joule kalam kapitsa keller kelvin kepler
khayyam khorana kilby kirch kirchhoff klein knuth koch kolmogorov kovalevskaya lagrange lamarr lamport landau
laplace lavoisier leakey leavitt legendre leibniz linnaeus liskov lister lorentz lovelace lumiere lyell mach
malpighi margulis maxwell mayer mcclintock mclean meitner mendel mendeleev michelson mirzakhani montalcini
moore morse napier nash neumann newton nobel noether noyce oersted ohm oppenheimer ostwald pare pascal pasteur pauli
pauling payne perlman perrin planck poincare poisson ptolemy pythagoras raman ramanujan rayleigh ride riemann
ritchie roentgen rosalind rubin rutherford sagan saha salk sanger schrodinger seaborg shannon shaw shockley
sinoussi snyder somerville stokes sutherland swartz tesla thales thompson thomson torvalds turing varahamihira
vaughan villani volta wallace watson watt weierstrass wescoff wien wilbur wiles williams wilson wing wozniak
wright wu yalow yonath young
`
