"""French captions."""

from __future__ import annotations

from dragoman.scenes.grammars._frames import Frame
from dragoman.scenes.grammars._romance import Romance

FRENCH = Romance(
    nouns={
        "apple": ("pomme pommes f",),
        "ball": ("balle balles f", "ballon ballons m"),
        "bird": ("oiseau oiseaux m",),
        "boat": ("bateau bateaux m", "barque barques f"),
        "book": ("livre livres m",),
        "box": ("boîte boîtes f", "caisse caisses f"),
        "car": ("voiture voitures f", "auto autos f"),
        "chair": ("chaise chaises f",),
        "cup": ("tasse tasses f",),
        "fish": ("poisson poissons m",),
        "flower": ("fleur fleurs f",),
        "hat": ("chapeau chapeaux m",),
        "house": ("maison maisons f",),
        "star": ("étoile étoiles f",),
        "tree": ("arbre arbres m",),
        "umbrella": ("parapluie parapluies m",),
    },
    colours={
        "black": ("noir noire noirs noires",),
        "blue": ("bleu bleue bleus bleues",),
        "brown": ("marron", "brun brune bruns brunes"),
        "green": ("vert verte verts vertes",),
        "orange": ("orange",),
        "pink": ("rose roses",),
        "purple": ("violet violette violets violettes",),
        "red": ("rouge rouges",),
        "white": ("blanc blanche blancs blanches",),
        "yellow": ("jaune jaunes",),
    },
    sizes={
        "small": ("<petit petite petits petites",),
        "big": ("<grand grande grands grandes", "<gros grosse gros grosses"),
    },
    numerals={1: "un une", 2: "deux", 3: "trois"},
    some=("des", "quelques", "plusieurs"),
    link=" et ",
    grounds={
        "beach": ("sur la plage", "sur le sable"),
        "meadow": ("dans un pré", "dans une prairie", "sur l'herbe"),
        "room": ("dans une pièce", "dans une chambre", "à l'intérieur"),
        "snow": ("dans la neige", "dans un paysage enneigé"),
        "street": ("dans la rue", "sur une route"),
    },
    places={
        "left": ("à gauche", "sur la gauche", "du côté gauche"),
        "right": ("à droite", "sur la droite", "du côté droit"),
        "top": ("en haut", "dans la partie supérieure"),
        "bottom": ("en bas", "dans la partie inférieure"),
        "centre": ("au centre", "au milieu"),
    },
    relations={
        "left": ("à gauche de",),
        "right": ("à droite de",),
        "above": ("au-dessus de",),
        "below": ("sous", "en dessous de", "au-dessous de"),
    },
    frames=(
        Frame("{what} {where}"),
        Frame("{what} {where}"),
        Frame("il y a {what} {where}."),
        Frame("{where}, il y a {what}."),
        Frame("{where}, on voit {what}."),
        Frame("une photo de {what} {where}"),
        Frame("{what}"),
        Frame("il y a {what}."),
        Frame("on voit {what}."),
        Frame("une photo de {what}"),
    ),
    events={
        "appear": ("apparaît|apparaissent|", "surgit|surgissent|"),
        "disappear": ("disparaît|disparaissent|", "s'efface|s'effacent|"),
        "left": ("se déplace|se déplacent|vers la gauche", "va|vont|de droite à gauche"),
        "right": ("se déplace|se déplacent|vers la droite", "va|vont|de gauche à droite"),
        "up": ("se déplace|se déplacent|vers le haut", "monte|montent|"),
        "down": ("se déplace|se déplacent|vers le bas", "descend|descendent|"),
        "clockwise": (
            "tourne|tournent|dans le sens des aiguilles d'une montre",
            "tourne|tournent|dans le sens horaire",
        ),
        "anticlockwise": (
            "tourne|tournent|dans le sens inverse des aiguilles d'une montre",
            "tourne|tournent|dans le sens antihoraire",
        ),
        "meet": ("|se rapprochent|", "|se rejoignent|"),
        "part": ("|s'éloignent|", "|se séparent|"),
    },
    event_frames=(
        Frame("{what} {verb} {how} {where}."),
        Frame("{where}, {what} {verb} {how}."),
        Frame("{where}, on voit {what} qui {verb} {how}."),
        Frame("{what} {verb} {how}."),
        Frame("on voit {what} qui {verb} {how}."),
    ),
    contractions=(
        (r"\bde des\b", "de"),
        # Before an adjective, and only there, the indefinite plural "des" becomes "de".
        (r"\b([Dd])es (?=(petit|grand|gros)e?s?\b|grosses\b)", r"\1e "),
        (r"\bde (?=[aeiouéêà])", "d'"),
    ),
)

caption = FRENCH.caption
